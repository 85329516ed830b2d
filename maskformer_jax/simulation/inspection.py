"""What is in a file of jets: numbers to read and pictures to look at before training."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from maskformer_jax.data import JetFile
from maskformer_jax.data.config import (
    MAX_CONSTITUENTS,
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
)
from maskformer_jax.data.schema import Schema
from maskformer_jax.simulation.config import FLAVOURS, THESIS_INPUTS
from maskformer_jax.simulation.truth import ORIGINS

JET_INPUTS = ("pt_btagJes", "eta_btagJes")
HADRONS = ObjectsConfig("truth_hadrons", "tracks", "barcode", "ftagTruthParentBarcode")
SCHEMA = Schema(
    jets=JetsConfig(inputs=[*JET_INPUTS]),
    streams={"tracks": StreamConfig("tracks", ["d0", "z0SinTheta"], cap=MAX_CONSTITUENTS)},
    objects={"hadrons": HADRONS},
    labels={
        "flavour": LabelConfig("jets", "flavour_label"),
        "origin": LabelConfig("tracks", "ftagTruthOriginLabel"),
        "hadrons": HADRONS,
        "hadron_flavour": LabelConfig("hadrons", "flavour"),
        "hadron_length": LabelConfig("hadrons", "Lxy"),
    },
)
COLOURS = {"bjets": "tab:blue", "cjets": "tab:orange", "ujets": "tab:green"}
# Quantiles that a histogram of a continuous input covers.
RANGE = (0.005, 0.995)
BINS, MAX_INTEGER_BINS = 40, 25
COLUMNS, PANEL, DPI = 4, (3.0, 2.3), 65
INPUTS_PICTURE, VERTEX_PICTURE = "inputs.png", "vertices.png"
MAX_JETS = 200_000


class Contents(NamedTuple):
    """A file without its padding.

    Attributes:
        jets: structured `[n]`.
        tracks: structured `[k]`, real ones.
        jet: `[k]` row of the jet of each track.
        hadrons: structured `[h]`, real ones.
        hadron_jet: `[h]`.
        width: most tracks of a jet that the file can hold.
        provenance: of the file, {} where it has none.
    """

    jets: np.ndarray
    tracks: np.ndarray
    jet: np.ndarray
    hadrons: np.ndarray
    hadron_jet: np.ndarray
    width: int
    provenance: dict[str, Any]


def inspect_file(path: Path, compare: Path | None, folder: Path) -> str:
    """Describes a file and draws its inputs.

    Args:
        path: HDF5 file in the default layout; at most the first 200,000 jets are looked at.
        compare: another one, drawn as dashed lines.
        folder: where the pictures go.

    Returns:
        Text of several lines.

    Raises:
        InputError: a file is not there or has another layout.
    """
    contents = {str(path): read(path)}
    if compare is not None:
        contents[str(compare)] = read(compare)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [
        _draw_inputs([*contents.values()], folder / INPUTS_PICTURE),
        _draw_vertices([*contents.values()], folder / VERTEX_PICTURE),
    ]
    lines = [line for name, part in contents.items() for line in (f"{name}", *describe(part), "")]
    return "\n".join([*lines, *(f"drawn: {picture}" for picture in pictures)])


def read(path: Path) -> Contents:
    """The jets, tracks and hadrons of a file in the default layout.

    Raises:
        InputError: the file is not there or has another layout.
    """
    file = JetFile(path, SCHEMA)
    records = file.read(0, min(file.num_jets, MAX_JETS))
    file.close()
    with h5py.File(path) as content:
        provenance = json.loads(content.attrs.get("provenance", "{}"))
    tracks, hadrons = records.streams["tracks"].table, records.objects["hadrons"]
    valid, listed = tracks["valid"], hadrons["valid"]
    return Contents(
        jets=records.jets,
        tracks=tracks[valid],
        jet=np.nonzero(valid)[0],
        hadrons=hadrons[listed],
        hadron_jet=np.nonzero(listed)[0],
        width=valid.shape[1],
        provenance=provenance,
    )


def describe(contents: Contents) -> list[str]:
    """Counts, flavours, tracks, origins and hadrons, one a line."""
    jets, origin = contents.jets, contents.tracks["ftagTruthOriginLabel"]
    flavour = jets["flavour_label"]
    mix = ", ".join(
        f"{np.sum(flavour == i):,} {name} ({np.mean(flavour == i):.1%})"
        for i, name in enumerate(FLAVOURS)
    )
    number = np.bincount(contents.jet, minlength=len(jets))
    lines = [
        f"{len(jets):,} jets: {mix}",
        f"jet pT [GeV]: median {np.median(jets['pt_btagJes']) / 1000:.1f}, "
        f"largest {jets['pt_btagJes'].max() / 1000:.0f}",
        f"tracks per jet: mean {number.mean():.2f}, median {np.median(number):.0f}, "
        f"99 % below {np.quantile(number, 0.99):.0f}; "
        f"{np.mean(number == contents.width):.2%} of the jets have all {contents.width}",
        f"{'tracks per jet of':>18} " + "".join(f"{name:>15}" for name in ORIGINS),
    ]
    for i, name in enumerate(FLAVOURS):
        counts = np.bincount(origin[flavour[contents.jet] == i], minlength=len(ORIGINS))
        cells = "".join(f"{n / max(np.sum(flavour == i), 1):15.3f}" for n in counts)
        lines.append(f"{name:>18} {cells}")
    return [*lines, *_describe_hadrons(contents, origin)]


def _describe_hadrons(contents: Contents, origin: np.ndarray) -> list[str]:
    bjets = contents.jets["flavour_label"] == 0
    chain = np.isin(origin, (ORIGINS["fromB"], ORIGINS["fromBC"]))
    number = np.bincount(contents.jet[chain], minlength=len(bjets))[bjets]
    shares = ", ".join(f"{k}: {np.mean(number >= k):.1%}" for k in (1, 2, 3) if bjets.any())
    lines = [f"b-jets with at least so many tracks of the b chain: {shares or 'no b-jets'}"]
    for code, name in ((5, "b"), (4, "c")):
        rows = contents.hadrons["flavour"] == code
        if rows.any():
            radius = np.median(contents.hadrons["Lxy"][rows])
            per_jet = rows.sum() / len(contents.jets)
            lines.append(f"{name} hadrons: {per_jet:.3f} per jet, median Lxy {radius:.2f} mm")
    return lines


def _figure(panels: int, columns: int) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-panels // columns)
    figure = Figure((columns * PANEL[0], rows * PANEL[1]), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(panels)]


def _draw_inputs(contents: list[Contents], path: Path) -> Path:
    """Every input of jets and tracks by flavour, and the tracks per jet."""
    first = contents[0]
    fields = [("jets", name) for name in JET_INPUTS]
    fields += [("tracks", name) for name in THESIS_INPUTS if name in first.tracks.dtype.names]
    figure, axes = _figure(len(fields) + 1, COLUMNS)
    for axis, (dataset, name) in zip(axes, fields, strict=False):
        parts = [part for part in contents if name in getattr(part, dataset).dtype.names]
        values = [getattr(part, dataset)[name].astype(np.float64) for part in parts]
        rows = [part.jet if dataset == "tracks" else np.arange(len(part.jets)) for part in parts]
        whole = getattr(first, dataset).dtype[name].kind == "i"
        flavours = [part.jets["flavour_label"][r] for part, r in zip(parts, rows, strict=True)]
        _histograms(axis, values, flavours, _edges(values[0], whole), name)
    number = [np.bincount(part.jet, minlength=len(part.jets)) for part in contents]
    labels = [part.jets["flavour_label"] for part in contents]
    _histograms(axes[-1], number, labels, _edges(number[0], True, 60), "tracks per jet")
    axes[0].legend(fontsize="x-small")
    figure.savefig(path)
    return path


def _draw_vertices(contents: list[Contents], path: Path) -> Path:
    """Decay radii of the b and c hadrons."""
    figure, axes = _figure(2, 2)
    edges = np.geomspace(0.01, 1000.0, BINS + 1)
    for axis, (code, name) in zip(axes, ((5, "b"), (4, "c")), strict=True):
        parts = [part.hadrons[part.hadrons["flavour"] == code] for part in contents]
        labels = [
            part.jets["flavour_label"][part.hadron_jet[part.hadrons["flavour"] == code]]
            for part in contents
        ]
        _histograms(
            axis, [part["Lxy"] for part in parts], labels, edges, f"Lxy of {name} hadrons [mm]"
        )
        axis.set_xscale("log")
        axis.legend(fontsize="x-small")
    figure.savefig(path)
    return path


def _edges(values: np.ndarray, whole: bool, most: int = MAX_INTEGER_BINS) -> np.ndarray:
    if whole:
        return np.arange(min(int(values.max(initial=1)), most) + 2) - 0.5
    low, high = np.quantile(values, RANGE)
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def _histograms(
    axis: Any, values: list[np.ndarray], flavours: list[np.ndarray], edges: np.ndarray, title: str
) -> None:
    """A line for each flavour, of unit area; the second file is dashed."""
    for part, flavour, style in zip(values, flavours, ("-", "--"), strict=False):
        for index, (name, colour) in enumerate(COLOURS.items()):
            chosen = part[flavour == index]
            if len(chosen) == 0:
                continue
            height = np.histogram(chosen, edges)[0] / len(chosen)
            label = name if style == "-" else None
            axis.stairs(height, edges, color=colour, linestyle=style, label=label)
    axis.set_title(title, fontsize="x-small")
    axis.locator_params(axis="x", nbins=4)
    axis.set_yscale("log")
    axis.tick_params(which="both", labelsize="x-small")
    axis.xaxis.get_offset_text().set_fontsize("x-small")
