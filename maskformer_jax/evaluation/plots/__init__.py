"""Pictures of the evaluation, drawn from the files of its results."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.evaluation.plots import classes, regression, tagging, vertexing
from maskformer_jax.evaluation.results import Results

# Each has a function `draw(results, folder)` that leaves out what the results do not have.
TOPICS = (tagging, vertexing, classes, regression)


def draw_plots(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws all pictures as PNG files.

    Args:
        results: of one or more runs on the same test file; ratios are to the first.
        folder: where the pictures go; it must be there.

    Returns:
        The files.
    """
    return [path for topic in TOPICS for path in topic.draw(results, folder)]
