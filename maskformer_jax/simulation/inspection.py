"""What is in a file of jets: numbers to read and pictures to look at before training."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from maskformer_jax.canvas import PlotConfig
from maskformer_jax.data import JetFile
from maskformer_jax.data.config import (
    MAX_CONSTITUENTS,
    JetsConfig,
    LabelConfig,
    ObjectsConfig,
    StreamConfig,
)
from maskformer_jax.data.schema import Schema
from maskformer_jax.data.summary import unit_hint
from maskformer_jax.simulation.config import FLAVOURS, HIT_COUNTS, THESIS_INPUTS
from maskformer_jax.simulation.histograms import CLASSES, Panel, draw
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
UNKNOWN = len(FLAVOURS)
HADRON_NAMES = {5: "b", 4: "c"}
# Tracks or hadrons of a file that has none.
NOTHING = np.zeros((0, 0), [("valid", "?")])
# Quantiles that a histogram of a continuous input covers.
RANGE = (0.005, 0.995)
BINS, MAX_INTEGER_BINS = 40, 25
LENGTH_EDGES = np.geomspace(0.01, 1000.0, BINS + 1)
# Fields in words, and what turns them into the unit there.
WORDS = {
    "pt_btagJes": ("jet $p_T$ [GeV]", 1e-3),
    "eta_btagJes": (r"jet $\eta$", 1.0),
    "qOverP": ("$q/p$ [1/GeV]", 1e3),
    "deta": (r"$\Delta\eta$(track, jet)", 1.0),
    "dphi": (r"$\Delta\phi$(track, jet) [rad]", 1.0),
    "d0": ("$d_0$ [mm]", 1.0),
    "z0SinTheta": (r"$z_0\sin\theta$ [mm]", 1.0),
    "qOverPUncertainty": ("error of $q/p$ [1/GeV]", 1e3),
    "thetaUncertainty": (r"error of $\theta$ [rad]", 1.0),
    "phiUncertainty": (r"error of $\phi$ [rad]", 1.0),
    "IP3D_signed_d0_significance": ("signed $d_0$ significance", 1.0),
    "IP3D_signed_z0_significance": ("signed $z_0$ significance", 1.0),
}
MAX_JETS = 200_000


class Contents(NamedTuple):
    """A file without its padding.

    Attributes:
        jets: structured `[n]`.
        flavour: `[n]` position in `FLAVOURS`, or `UNKNOWN`.
        tracks: structured `[k]`, real ones.
        jet: `[k]` row of the jet of each track.
        origin: `[k]` of `ORIGINS`, -1 where it is not known.
        hadron_jet: `[h]` row of the jet of each real hadron.
        hadron: `[h]` 5 or 4, -1 where it is not known.
        length: `[h]` Lxy [mm], NaN where it is not known.
        width: most tracks of a jet that the file can hold.
    """

    jets: np.ndarray
    flavour: np.ndarray
    tracks: np.ndarray
    jet: np.ndarray
    origin: np.ndarray
    hadron_jet: np.ndarray
    hadron: np.ndarray
    length: np.ndarray
    width: int

    def per_jet(self) -> np.ndarray:
        """Tracks of each jet."""
        return np.bincount(self.jet, minlength=len(self.jets))


def inspect_file(
    path: Path, compare: Path | None, folder: Path, look: PlotConfig | None = None
) -> str:
    """Describes a file and draws its inputs.

    Args:
        path: HDF5 file in the default layout; at most the first 200,000 jets are looked at.
        compare: another one, drawn as dashed lines.
        folder: where the pictures go.
        look: formats of the files, and what stands above the pictures.

    Returns:
        Text of several lines.

    Raises:
        InputError: a file is not there or has another layout.
    """
    contents = {str(path): read(path)}
    if compare is not None:
        contents[str(compare)] = read(compare)
    folder.mkdir(parents=True, exist_ok=True)
    # Names of files without their folders, where these tell them apart.
    short = [Path(name).name for name in contents]
    names = short if len({*short}) == len(short) else [*contents]
    pictures = [
        file
        for name, panels in (("inputs", _inputs), ("hits", _hits), ("vertices", _vertices))
        for file in draw(names, [*panels([*contents.values()])], folder / name, look)
    ]
    lines = [line for name, part in contents.items() for line in (f"{name}", *describe(part), "")]
    return "\n".join([*lines, *(f"drawn: {picture}" for picture in pictures)])


def read(path: Path) -> Contents:
    """The jets, tracks and hadrons of a file in the default layout, as far as it has them.

    Raises:
        InputError: the file is not there or has no such jets.
    """
    JetFile(path, SCHEMA._replace(streams={}, objects={}, labels={})).close()
    with h5py.File(path) as content:
        has_tracks = "tracks" in content
    labels = SCHEMA.labels if has_tracks else {"flavour": SCHEMA.labels["flavour"]}
    streams = SCHEMA.streams if has_tracks else {}
    file = JetFile(path, SCHEMA._replace(streams=streams, labels=labels), "optional")
    records = file.read(0, min(file.num_jets, MAX_JETS))
    file.close()
    tracks = records.streams["tracks"].table if has_tracks else NOTHING
    hadrons = records.objects.get("hadrons", NOTHING)
    flavour = _column(records.jets, "flavour_label", UNKNOWN)
    known = (flavour >= 0) & (flavour < UNKNOWN)
    jet, _ = np.nonzero(tracks["valid"])
    hadron_jet, _ = np.nonzero(hadrons["valid"])
    width = tracks.shape[1]
    tracks, hadrons = tracks[tracks["valid"]], hadrons[hadrons["valid"]]
    origin = _column(tracks, "ftagTruthOriginLabel", -1)
    return Contents(
        jets=records.jets,
        flavour=np.where(known, flavour, UNKNOWN),
        tracks=tracks,
        jet=jet,
        origin=np.where((origin >= 0) & (origin < len(ORIGINS)), origin, -1),
        hadron_jet=hadron_jet,
        hadron=_column(hadrons, "flavour", -1),
        length=_column(hadrons, "Lxy", np.nan),
        width=width,
    )


def _column(table: np.ndarray, name: str, missing: float) -> np.ndarray:
    return table[name] if name in table.dtype.names else np.full(table.shape, missing)


def describe(contents: Contents) -> list[str]:
    """Counts, flavours, tracks, origins and hadrons, one a line, and what is odd about them."""
    jets, flavour = contents.jets, contents.flavour
    mix = [
        f"{np.sum(flavour == i):,} {name} ({np.mean(flavour == i):.1%})"
        for i, name in enumerate(CLASSES)
        if i < UNKNOWN or (flavour == i).any()
    ]
    pt = jets["pt_btagJes"]
    finite = pt[np.isfinite(pt)] / 1000
    lines = [f"{len(jets):,} jet{'s' * (len(jets) != 1)}: {', '.join(mix)}"]
    if len(finite):
        sizes = f"median {np.median(finite):.1f}, largest {finite.max():.0f}"
        lines.append(f"jet pT [GeV]: {sizes}")
    hint = unit_hint(jets, "pt_btagJes")
    odd = [f"odd: {hint}"] if hint else []
    for name, table in (("jets", jets), ("tracks", contents.tracks)):
        for field in table.dtype.names:
            bad = np.sum(~np.isfinite(table[field])) if table.dtype[field].kind == "f" else 0
            if bad and not field.startswith("HadronCone"):
                odd.append(f"odd: `{field}` of {bad:,} {name} is not finite")
    return [*lines, *odd, *_describe_tracks(contents), *_describe_hadrons(contents)]


def _describe_tracks(contents: Contents) -> list[str]:
    if not len(contents.tracks):
        return ["no tracks"]
    number, flavour, origin = contents.per_jet(), contents.flavour, contents.origin
    lines = [
        f"tracks per jet: mean {number.mean():.2f}, median {np.median(number):.0f}, "
        f"99 % below {np.quantile(number, 0.99):.0f}; "
        f"{np.mean(number == contents.width):.2%} of the jets have all {contents.width}",
    ]
    if (origin < 0).any():
        lines.append(f"odd: {np.mean(origin < 0):.1%} of the tracks have no known origin")
    if (origin < 0).all():
        return lines
    lines.append(f"{'tracks per jet of':>18} " + "".join(f"{name:>15}" for name in ORIGINS))
    for i, name in enumerate(CLASSES):
        if (flavour == i).any():
            known = origin[(flavour[contents.jet] == i) & (origin >= 0)]
            counts = np.bincount(known, minlength=len(ORIGINS)) / np.sum(flavour == i)
            lines.append(f"{name:>18} " + "".join(f"{n:15.3f}" for n in counts))
    bjets, chain = flavour == 0, np.isin(origin, (ORIGINS["fromB"], ORIGINS["fromBC"]))
    number = np.bincount(contents.jet[chain], minlength=len(bjets))[bjets]
    shares = ", ".join(f"{k}: {np.mean(number >= k):.1%}" for k in (1, 2, 3) if bjets.any())
    lines.append(f"b-jets with at least so many tracks of the b chain: {shares or 'no b-jets'}")
    return lines


def _describe_hadrons(contents: Contents) -> list[str]:
    lines = []
    for code, name in HADRON_NAMES.items():
        rows = contents.hadron == code
        if rows.any():
            length = contents.length[rows]
            length = length[np.isfinite(length)]
            radius = f", median Lxy {np.median(length):.2f} mm" if len(length) else ""
            lines.append(f"{name} hadrons: {rows.sum() / len(contents.jets):.3f} per jet{radius}")
            if len(length) < rows.sum():
                lines.append(f"odd: Lxy of {rows.sum() - len(length):,} of them is not finite")
    return lines or ["no b or c hadrons"]


def _words(name: str) -> tuple[str, float]:
    """A field in words with its unit, and by what it is multiplied for that."""
    if name in WORDS:
        return WORDS[name]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=SCT)", " ", name.removeprefix("numberOf"))
    return words.lower().replace("sct", "SCT"), 1.0


def _inputs(contents: Sequence[Contents]) -> Iterator[Panel]:
    """The inputs of jets and those of tracks that are no counts."""
    yield from (_panel(contents, "jets", name) for name in JET_INPUTS)
    yield from _of_tracks(contents, False)


def _hits(contents: Sequence[Contents]) -> Iterator[Panel]:
    """Counts of hits, and the tracks per jet."""
    yield from _of_tracks(contents, True)
    number, flavours = [part.per_jet() for part in contents], [part.flavour for part in contents]
    yield Panel("tracks per jet", number, flavours, _edges(number[0], True, 60))


def _of_tracks(contents: Sequence[Contents], counts: bool) -> Iterator[Panel]:
    there = contents[0].tracks.dtype.names
    for name in THESIS_INPUTS:
        if name in there and (name in HIT_COUNTS) == counts:
            yield _panel(contents, "tracks", name)


def _panel(contents: Sequence[Contents], dataset: str, name: str) -> Panel:
    label, scale = _words(name)
    parts = [part for part in contents if name in getattr(part, dataset).dtype.names]
    values = [scale * getattr(part, dataset)[name].astype(np.float64) for part in parts]
    whole = getattr(contents[0], dataset).dtype[name].kind == "i"
    flavours = [part.flavour[part.jet] if dataset == "tracks" else part.flavour for part in parts]
    return Panel(label, values, flavours, _edges(values[0], whole))


def _vertices(contents: Sequence[Contents]) -> Iterator[Panel]:
    """Decay radii of the b and c hadrons."""
    for code, name in HADRON_NAMES.items():
        rows = [part.hadron == code for part in contents]
        pairs = list(zip(contents, rows, strict=True))
        lengths = [part.length[chosen] for part, chosen in pairs]
        flavours = [part.flavour[part.hadron_jet[chosen]] for part, chosen in pairs]
        yield Panel(f"$L_{{xy}}$ of ${name}$ hadrons [mm]", lengths, flavours, LENGTH_EDGES, True)


def _edges(values: np.ndarray, whole: bool, most: int = MAX_INTEGER_BINS) -> np.ndarray:
    if whole:
        return np.arange(np.clip(values.max(initial=1), 1, most) + 2) - 0.5
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, RANGE) if len(values) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)
