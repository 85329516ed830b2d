"""Pictures of a study: the models of a group over the reference, averaged over seeds."""

import dataclasses
import io
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from maskformer_jax.canvas import PlotConfig
from maskformer_jax.evaluation.models import averaged
from maskformer_jax.evaluation.names import in_file_name, spoken
from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.plots.learning import draw_learning, log_of
from maskformer_jax.evaluation.results import Result
from maskformer_jax.files import write_whole
from maskformer_jax.progress import bar
from maskformer_jax.study.collect import Collected, Test
from maskformer_jax.training.logging import LOG_FILE

# Pictures of lines need no more, and their files are a quarter as large.
PALETTE = 128
WIDEST = 1800
# Pattern of the name of a picture, jets in brackets -> what it shows.
AXES = {"pt": "pT", "eta": "eta", "Lxy": "Lxy"}
CAPTIONS = {
    r"roc_(\w+)": "rejections against {0} efficiency",
    r"fraction_scan_(\w+)": "rejections of {0} tagging for every fraction in the discriminant",
    r"discriminant_(\w+)": "distribution of the {0} discriminant",
    r"efficiency_(pt|eta)_\w+_(\w+jets)": "{1} efficiency against jet {0}",
    r"rejection_(pt|eta)_([^_]+)_(\w+jets)": "{2} rejection of {1} tagging against jet {0}",
    r"vertexing_fake_rate_eta": "light jets with a vertex against jet eta",
    r"vertexing_fake_rate": "light jets with a vertex against jet pT",
    r"vertexing_(\w+jets)_(\w+)": "vertices in {0}s: efficiency and purity against {1}",
    r"confusion": "true and predicted classes",
    r"auc": "areas under the ROC curves of the classes of tracks",
    r"residuals": "residuals of the properties of hadrons",
    r"response": "response and resolution against true pT",
    r"learning_validation_losses": "validation losses",
    r"learning_validation_figures": "figures of merit on the validation jets",
}


def draw_figures(collected: Collected, folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Draws every picture of every test and group into TEST/GROUP below a folder.

    Args:
        collected: the finished runs.
        folder: created if needed.

    Returns:
        Test -> group -> its PNG files.
    """
    study, look = collected.study, collected.runs[0].config.plot
    found: dict[str, dict[str, list[Path]]] = {test.name: {} for test in collected.tests}
    every = [(test, group) for test in collected.tests for group in study.groups]
    with bar(len(every), "groups", "drawing") as shown:
        for test, group in every:
            own = dataclasses.replace(look, sample=look.sample or test.name)
            if compared := _compared(collected, test, group):
                draw, patterns = partial(draw_plots, compared), study.figures.get(test.name, ["*"])
                found[test.name][group] = _draw(draw, folder / test.name, group, own, patterns)
            shown.update()
    return found


def draw_logs(collected: Collected, folder: Path) -> dict[str, list[Path]]:
    """Draws the learning curves of the models of every group over those of the reference.

    Args:
        collected: the finished runs; of several seeds the first is drawn.
        folder: created if needed.

    Returns:
        Group -> its PNG files.
    """
    study, look, found = collected.study, collected.runs[0].config.plot, {}
    there = [run for run in collected.runs if (run.folder / LOG_FILE).exists()]
    folders = {run.model: run.folder for run in there[::-1]}
    for group in study.groups:
        others = folders.keys() - {study.reference}
        names = [n for n, model in study.models.items() if model.group == group and n in others]
        if names:
            names = [study.reference] * (study.reference in folders) + names
            logs = {study.label(name): log_of(folders[name]) for name in names}
            found[group] = _draw(partial(draw_learning, logs), folder / "learning", group, look)
    return {group: files for group, files in found.items() if files}


def caption(name: str) -> str:
    """What a picture shows, in words.

    >>> caption("rejection_pt_b_ujets"), caption("roc_b")
    ('Light-jet rejection of b-jet tagging against jet pT', 'Rejections against b-jet efficiency')
    """
    for pattern, words in CAPTIONS.items():
        found = re.search(rf"{pattern}$", name)
        if found:
            kinds = (AXES.get(x, f"{spoken(x)}-jet") for x in found.groups())
            text = words.format(*kinds)
            return text[:1].upper() + text[1:]
    return name.replace("_", " ").capitalize()


def _compared(collected: Collected, test: Test, group: str) -> list[Result]:
    """The reference and the other models of the group, or the group alone without it."""
    reference = collected.reference(test)
    others = [e for e in test.entries if e.group == group and e is not reference]
    if not others:
        return []
    return [averaged(entry) for entry in ([reference] if reference else []) + others]


def _draw(
    draw: Callable[[Path, PlotConfig], list[Path]],
    folder: Path,
    group: str,
    look: PlotConfig,
    patterns: Sequence[str] = ("*",),
) -> list[Path]:
    """The PNG files of the pictures whose names fit; other formats lie beside them."""
    folder = folder / in_file_name(group.lower())
    folder.mkdir(parents=True, exist_ok=True)
    look = dataclasses.replace(look, formats=[*dict.fromkeys(["png", *look.formats])])
    paths = []
    with tempfile.TemporaryDirectory() as drawn:
        for path in draw(Path(drawn), look):
            if any(path.match(pattern) for pattern in patterns):
                paths.append(folder / path.name)
                is_png = path.suffix == ".png"
                write_whole(paths[-1], _small(path) if is_png else path.read_bytes())
    return [path for path in paths if path.suffix == ".png"]


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
