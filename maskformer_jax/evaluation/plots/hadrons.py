"""Pictures of the hadron classification: confusion matrices."""

from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.evaluation.plots.canvas import save
from maskformer_jax.evaluation.plots.panels import confusions
from maskformer_jax.evaluation.results import Results


def draw(results: Sequence[Results], folder: Path) -> list[Path]:
    """Draws the confusion matrix of the objects of each run.

    Args:
        results: of one or more runs.
        folder: where the picture goes.

    Returns:
        The file, in a list; empty where there are no results of hadrons.
    """
    hadrons = [r.metrics.get("hadrons", {}) for r in results]
    if not all("flavour" in part for part in hadrons):
        return []
    # The first entry is that of all classes together.
    names = [f"${name}$ hadron" for name in list(hadrons[0]["flavour"])[1:]]
    matrices = [(r.label, part["confusion"]) for r, part in zip(results, hadrons, strict=True)]
    figure = confusions(matrices, [*names, "none"], "Objects", (4.6, 4.4))
    return [save(figure, folder / "hadrons_confusion.png")]
