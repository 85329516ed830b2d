"""Impact-parameter tagger: a likelihood ratio of two significances, to compare the network with."""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from maskformer_jax.data import JetFile, Records
from maskformer_jax.data.config import DataConfig
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.config import BaselineConfig

READ_ROWS = 2000

# Bins in units of sigma: linear with this width around zero, logarithmic out to the last edge.
BINS = 40
LINEAR_WIDTH = 1.0
LAST_EDGE = 60.0

# Entries that every bin has before any track is counted, so that no ratio is infinite.
PRIOR_ENTRIES = 0.5


class Baseline:
    """Sum over the tracks of a jet of log(p_signal(S_d0, S_z0) / p_background(S_d0, S_z0)).

    The templates p of both classes are histograms over all valid tracks of their jets, with bins
    that grow with the significance; the outermost ones take the tails. Tracks count as independent,
    and a jet without tracks scores zero.

    Attributes:
        config: stream, the two fields, label and classes.
        log_ratio: of the templates, one row per transverse bin.
    """

    def __init__(self, config: BaselineConfig, log_ratio: Float[np.ndarray, "BINS BINS"]):
        self.config = config
        self.log_ratio = log_ratio

    def score(self, records: Records, valid: str) -> Float[np.ndarray, " N"]:
        """Score of each jet; larger is more signal-like.

        Args:
            records: rows of a file.
            valid: boolean field of the stream, True for a real track.

        Raises:
            InputError: a field is missing, or not finite for a valid track.
        """
        jet, cell = _bins(records, self.config, valid)
        return np.bincount(jet, self.log_ratio.ravel()[cell], minlength=len(records.jets))

    def save(self, path: Path) -> None:
        """Writes the templates as a NumPy archive."""
        np.savez(path, fields=np.array(self.config.fields), log_ratio=self.log_ratio)

    @classmethod
    def load(cls, path: Path, config: BaselineConfig) -> "Baseline":
        """Reads what `save` wrote.

        Args:
            path: of the file.
            config: what the templates are of.

        Raises:
            InputError: the file is damaged, or of other fields.
        """
        try:
            with path.open("rb") as stream, np.load(stream) as archive:
                fields, log_ratio = archive["fields"].tolist(), archive["log_ratio"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not a file of baseline templates ({reason})") from error
        if log_ratio.shape != (BINS, BINS) or list(fields) != config.fields:
            raise InputError(
                f"{path}: templates must be {BINS} x {BINS} of {config.fields}; "
                f"got {log_ratio.shape} of {fields}"
            )
        return cls(config, log_ratio)


def fits(config: BaselineConfig | None, data: DataConfig, labels: Iterable[str]) -> bool:
    """Whether there is a baseline to fit: its label is read, and has both classes.

    Args:
        config: of the baseline; none: there is none.
        data: what is in the file.
        labels: names of those that are read of it.
    """
    if config is None or config.label not in labels or config.stream not in data.streams:
        return False
    classes = data.labels[config.label].classes or {}
    return {config.signal, config.background} <= set(classes)


def fit_baseline(file: JetFile, config: BaselineConfig, num_jets: int | None = None) -> Baseline:
    """Fills the templates in one pass over a training file.

    Args:
        file: with the label of the jets.
        config: of a baseline that `fits`.
        num_jets: use only the first jets; none: all.

    Raises:
        InputError: a field is missing or not finite, or a class has no track.
    """
    labels, classes = file.classes()[config.label], list(file.schema.labels[config.label].classes)
    names = config.signal, config.background
    stop = len(labels) if num_jets is None else min(num_jets, len(labels))
    counts = np.zeros((2, BINS**2))
    for start in range(0, stop, READ_ROWS):
        records = file.read(start, min(start + READ_ROWS, stop))
        jet, cell = _bins(records, config, file.schema.streams[config.stream].valid)
        for row, name in enumerate(names):
            own = labels[start:stop][jet] == classes.index(name)
            counts[row] += np.bincount(cell[own], minlength=BINS**2)
    empty = [name for name, own in zip(names, counts, strict=True) if not own.any()]
    if empty:
        raise InputError(
            f"{file.path}: no track of {' or '.join(empty)} in {stop} jets, so that there is no "
            "baseline; `--evaluation.baseline null` does without one"
        )
    smooth = _smooth(counts.reshape(2, BINS, BINS)) + PRIOR_ENTRIES
    density = smooth / smooth.sum(axis=(1, 2), keepdims=True)
    return Baseline(config, np.log(density[0] / density[1]))


def _edges() -> np.ndarray:
    """Inner bin edges."""
    outer = math.asinh(LAST_EDGE / LINEAR_WIDTH)
    return LINEAR_WIDTH * np.sinh(np.linspace(-outer, outer, BINS + 1)[1:-1])


def _bins(records: Records, config: BaselineConfig, valid: str) -> tuple[np.ndarray, np.ndarray]:
    """Jet and flat bin of every valid track."""
    table = records.streams[config.stream].table
    names = table.dtype.names
    missing = [name for name in config.fields if name not in names]
    if missing:
        raise InputError(
            f"{records.path}: {config.stream} have no field `{missing[0]}` for the baseline; they "
            f"have {', '.join(names)}; name others by `--evaluation.baseline.fields`"
        )
    jet = np.nonzero(table[valid])[0]
    cell = np.zeros(len(jet), np.int64)
    for name in config.fields:
        values = table[name][table[valid]].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise InputError(
                f"{records.path}: field `{name}` of {config.stream} of row "
                f"{records.rows[jet[bad[0]]]} is {values[bad[0]]}; the baseline needs finite values"
            )
        cell = cell * BINS + np.searchsorted(_edges(), values)
    return jet, cell


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Averages neighbouring bins with weights 1/4, 1/2, 1/4 along both axes; keeps the sum."""
    from scipy.ndimage import correlate1d

    for axis in (1, 2):
        counts = correlate1d(counts, [0.25, 0.5, 0.25], axis, mode="nearest")
    return counts
