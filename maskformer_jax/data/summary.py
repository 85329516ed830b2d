"""What is looked at before the first step: whether every value can be read, and what jets are like.

Labels in another code, links that match nothing or a momentum in another unit are no errors of a
file, and a model that learns from them is worth nothing; so they are said.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskformer_jax.data.fitting import kept_blocks
from maskformer_jax.data.h5 import JetFile, select
from maskformer_jax.data.samples import Samples, convert
from maskformer_jax.data.scaling import Scaling
from maskformer_jax.types import ObjectLabels

# Momenta are MeV; a median below is one in GeV.
SMALLEST_PT = 1000.0
VALUES_SHOWN = 5


class Summary(NamedTuple):
    """What the jets of a file are like.

    Attributes:
        text: one line.
        warnings: of what can't have been meant, a line each.
    """

    text: str
    warnings: list[str]

    def warn(self, path: Path) -> None:
        """Prints the warnings, of the file at a path, on standard error."""
        for warning in self.warnings:
            print(f"warning: {path}: {warning}", file=sys.stderr)


def check_values(file: JetFile, scaling: Scaling, num_jets: int | None = None) -> None:
    """Reads the jets that are kept, so that a bad one is found before it is needed.

    Raises:
        InputError: as `samples.convert`.
    """
    for records in kept_blocks(file, num_jets):
        convert([records], file.schema, scaling, file.labels)


def summarise(file: JetFile, scaling: Scaling, jet_pt: str, num_jets: int | None = None) -> Summary:
    """Jets of each class; of some blocks the constituents, and what is known of them.

    Args:
        file: with truth.
        scaling: of inputs and targets.
        jet_pt: field of the jets, in MeV.
        num_jets: the first jets only; none: all.
    """
    found = [*_classes(file, num_jets)]
    kept = file.kept()
    blocks = [select(x, np.flatnonzero(kept[x.rows])) for x in file.spread(num_jets)]
    found += _contents(convert(blocks, file.schema, scaling, file.labels), file)
    texts, warnings = zip(*found, strict=True) if found else ((), ())
    if file.others:
        texts = (*texts, f"read also from {', '.join(file.others)}")
    hint = unit_hint(blocks[0].jets, jet_pt)
    return Summary("; ".join(texts), [text for text in (*warnings, hint) if text])


def unit_hint(jets: np.ndarray, jet_pt: str) -> str:
    """A warning where a momentum does not look like MeV; nothing where it does."""
    if jet_pt not in jets.dtype.names or not len(jets):
        return ""
    median = float(np.median(jets[jet_pt].astype(np.float64)))
    hint = f"the median of `{jet_pt}` is {median:.4g}, as in GeV: it should be in MeV"
    return hint if abs(median) < SMALLEST_PT else ""


def empty_classes(file: JetFile, num_jets: int | None) -> list[str]:
    """A warning for each label of jets that has classes without a jet.

    Args:
        file: with truth.
        num_jets: the first jets only; none: all.
    """
    return [warning for _, warning in _classes(file, num_jets) if warning]


def _classes(file: JetFile, num_jets: int | None) -> Iterator[tuple[str, str]]:
    """For each label of jets its numbers, and a warning of classes without a jet."""
    for name, index in file.classes().items():
        label, index = file.schema.labels[name], index[:num_jets]
        counts = np.bincount(index + 1, minlength=len(label.classes) + 1)
        listed = dict(zip(label.classes, counts[1:].tolist(), strict=True))
        text = ", ".join(f"{number:,} {c}" for c, number in listed.items())
        empty = [c for c, number in listed.items() if not number]
        warning = f"no jet is of class {', '.join(empty)} of `{name}`" if empty else ""
        if empty and counts[0]:
            warning += f"; `{label.field}` is also {_unlisted(file, label.field, index)}"
        yield f"{name}: {text}, {counts[0]:,} in no class", warning


def _unlisted(file: JetFile, field: str, index: np.ndarray) -> str:
    """Some values that are in no class."""
    first = int(np.argmax(index < 0))
    records = file.read(first, min(first + file.schema.block_size, len(index)))
    values = np.unique(records.jets[field][index[records.rows] < 0])
    return ", ".join(map(str, values[:VALUES_SHOWN].tolist()))


def _contents(samples: Samples, file: JetFile) -> Iterator[tuple[str, str]]:
    """For streams, their labels and objects what there is, and a warning where that is nothing."""
    jets = max(len(samples.jets) - 1, 1)
    for name, counts in samples.counts.items():
        yield f"{counts.sum() / jets:.1f} {name} per jet", "" if counts.any() else f"no {name}"
    for name, label in samples.labels.items():
        of = file.schema.labels[name].of
        if not samples.counts.get(of, np.zeros(1)).any():
            continue
        if isinstance(label, ObjectLabels):
            number, share = label.valid.sum() / jets, label.masks[:, :-1].any(axis=0).mean()
            warning = f"no {of} are linked to {name}: compare the keys of both"
            warning = warning if number else f"no {name}"
            text = f"{number:.1f} {name} per jet, linked to {share:.0%} of the {of}"
            yield text, "" if share else warning
        elif label.dtype.kind == "i":
            share = (label[:-1] >= 0).mean()
            warning = "" if share else f"`{name}` is known of no {of}"
            yield f"{name} known of {share:.0%} of the {of}", warning
