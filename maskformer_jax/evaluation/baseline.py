"""Impact-parameter tagger: a likelihood ratio of two significances, to compare the network with."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from maskformer_jax.data import JetFile, Records
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.discriminants import flavour_indices

FILE_NAME = "baseline.npz"
READ_ROWS = 2000

# Bins in units of sigma: linear with this width around zero, logarithmic out to the last edge.
BINS = 40
LINEAR_WIDTH = 1.0
LAST_EDGE = 60.0

# Entries that every bin has before any track is counted, so that no ratio is infinite.
PRIOR_ENTRIES = 0.5


class Baseline:
    """Sum over the tracks of a jet of log(p_b(S_d0, S_z0) / p_light(S_d0, S_z0)).

    The templates p of b and light jets are histograms over all valid tracks of the jets of that
    flavour, with bins that grow with the significance; the outermost ones take the tails. Tracks
    count as independent, and a jet without tracks scores zero.

    Attributes:
        fields: the two track fields, transverse and longitudinal significance.
        log_ratio: of the templates, one row per transverse bin.
    """

    def __init__(self, fields: Sequence[str], log_ratio: Float[np.ndarray, "BINS BINS"]):
        self.fields = tuple(fields)
        self.log_ratio = log_ratio

    def score(self, records: Records, valid_field: str) -> Float[np.ndarray, " N"]:
        """Score of each jet; larger is more b-like.

        Args:
            records: rows of a file.
            valid_field: boolean track field, True for a real track.

        Raises:
            InputError: a field is missing, or not finite for a valid track.
        """
        jet, cell = _bins(records, self.fields, valid_field)
        return np.bincount(jet, self.log_ratio.ravel()[cell], minlength=len(records.jets))

    def save(self, path: Path) -> None:
        """Writes the templates as a NumPy archive."""
        np.savez(path, fields=np.array(self.fields), log_ratio=self.log_ratio)

    @classmethod
    def load(cls, path: Path) -> "Baseline":
        """Reads what `save` wrote.

        Raises:
            InputError: the file is damaged.
        """
        try:
            with path.open("rb") as stream, np.load(stream) as archive:
                fields, log_ratio = archive["fields"].tolist(), archive["log_ratio"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not a file of baseline templates ({reason})") from error
        if log_ratio.shape != (BINS, BINS) or len(fields) != 2:
            raise InputError(
                f"{path}: templates must be {BINS} x {BINS} of two fields; "
                f"got {log_ratio.shape} of {fields}"
            )
        return cls(fields, log_ratio)


def fit_baseline(file: JetFile, fields: Sequence[str], num_jets: int | None = None) -> Baseline:
    """Fills the templates in one pass over a training file.

    Args:
        file: with jet labels.
        fields: the two track fields.
        num_jets: use only the first jets; none: all.

    Raises:
        InputError: a field is missing or not finite, or there is no track of a b or light jet.
    """
    flavours = flavour_indices(file.layout.jets.classes)
    labels = file.labels()
    stop = len(labels) if num_jets is None else min(num_jets, len(labels))
    counts = np.zeros((2, BINS**2))
    for start in range(0, stop, READ_ROWS):
        records = file.read(start, min(start + READ_ROWS, stop))
        jet, cell = _bins(records, fields, file.layout.tracks.valid)
        track_label = labels[start:stop][jet]
        for row, flavour in enumerate((flavours.bottom, flavours.light)):
            counts[row] += np.bincount(cell[track_label == flavour], minlength=BINS**2)
    if not counts.sum(axis=1).all():
        raise InputError(f"{file.path}: no track of a b jet or none of a light jet in {stop} jets")
    smooth = _smooth(counts.reshape(2, BINS, BINS)) + PRIOR_ENTRIES
    density = smooth / smooth.sum(axis=(1, 2), keepdims=True)
    return Baseline(fields, np.log(density[0] / density[1]))


def _edges() -> np.ndarray:
    """Inner bin edges."""
    outer = math.asinh(LAST_EDGE / LINEAR_WIDTH)
    return LINEAR_WIDTH * np.sinh(np.linspace(-outer, outer, BINS + 1)[1:-1])


def _bins(
    records: Records, fields: Sequence[str], valid_field: str
) -> tuple[np.ndarray, np.ndarray]:
    """Jet and flat bin of every valid track."""
    names = records.tracks.dtype.names
    missing = [name for name in fields if name not in names]
    if missing:
        raise InputError(
            f"{records.path}: the tracks have no field `{missing[0]}` for the baseline; they "
            f"have {', '.join(names)}; `--evaluation.baseline_fields=[]` does without a baseline"
        )
    valid = records.tracks[valid_field]
    jet = np.nonzero(valid)[0]
    cell = np.zeros(len(jet), np.int64)
    for name in fields:
        values = records.tracks[name][valid].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"{records.path}: field `{name}` of the tracks of row {records.rows[jet[bad[0]]]} "
                f"is {values[bad[0]]}; the baseline needs finite values of valid tracks"
            )
        cell = cell * BINS + np.searchsorted(_edges(), values)
    return jet, cell


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Averages neighbouring bins with weights 1/4, 1/2, 1/4 along both axes; keeps the sum."""
    for axis in (1, 2):
        widths = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded = np.moveaxis(np.pad(counts, widths, mode="edge"), axis, 0)
        averaged = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
        counts = np.moveaxis(averaged, 0, axis)
    return counts
