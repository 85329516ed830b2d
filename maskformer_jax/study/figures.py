"""Pictures of a study: the models of a group over the reference, averaged over seeds."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from maskformer_jax.evaluation.models import averaged
from maskformer_jax.evaluation.names import in_file_name
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.results import Result
from maskformer_jax.files import write_whole
from maskformer_jax.progress import bar
from maskformer_jax.study.collect import Collected, Test

# Pictures of lines need no more, and their files are a quarter as large.
PALETTE = 128
WIDEST = 1400


def draw_figures(collected: Collected, folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Draws every picture of every test and group into TEST/GROUP below a folder.

    Args:
        collected: the finished runs.
        folder: created if needed.

    Returns:
        Test -> group -> its PNG files.
    """
    found: dict[str, dict[str, list[Path]]] = {test.name: {} for test in collected.tests}
    all_groups = [(test, group) for test in collected.tests for group in collected.study.groups]
    with bar(len(all_groups), "groups", "drawing") as shown:
        for test, group in all_groups:
            patterns = collected.study.figures.get(test.name, ["*"])
            if compared := _compared(collected, test, group):
                place = folder / test.name / in_file_name(group.lower())
                found[test.name][group] = _draw(compared, place, patterns)
            shown.update()
    return found


def _compared(collected: Collected, test: Test, group: str) -> list[Result]:
    """The reference and the other models of the group, or the group alone without it."""
    reference = collected.reference(test)
    others = [e for e in test.entries if e.group == group and e is not reference]
    if not others:
        return []
    return [averaged(entry) for entry in ([reference] if reference else []) + others]


def _draw(results: Sequence[Result], folder: Path, patterns: Sequence[str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with tempfile.TemporaryDirectory() as drawn:
        for path in draw_plots(results, Path(drawn)):
            if any(path.match(pattern) for pattern in patterns):
                paths.append(folder / path.name)
                write_whole(paths[-1], _small(path))
    return paths


def _small(path: Path) -> bytes:
    """The picture as a PNG of few colours, not wider than a page shows it."""
    from PIL import Image

    picture = io.BytesIO()
    with Image.open(path) as image:
        image = image.convert("RGB")
        image.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
        # The method that keeps the colours of thin lines apart.
        method = Image.Quantize.MAXCOVERAGE
        reduced = image.quantize(PALETTE, method=method, dither=Image.Dither.NONE)
        reduced.save(picture, format="png", optimize=True)
    return picture.getvalue()
