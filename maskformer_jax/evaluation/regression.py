"""Residuals and response of regressed quantities; Section 5.6.5 of the thesis."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.data.schema import Targets
from maskformer_jax.evaluation import learnt
from maskformer_jax.evaluation.cells import with_error
from maskformer_jax.evaluation.distributions import (
    Spread,
    binned_spread,
    histogram,
    of_jets,
    round_up,
    spread,
)
from maskformer_jax.evaluation.learnt import Scaled, mask_means
from maskformer_jax.evaluation.names import in_words, singular
from maskformer_jax.evaluation.quantities import WIDTH_ERROR, count, number, percent
from maskformer_jax.evaluation.residuals import Residual, definitions, formula, residuals, units
from maskformer_jax.evaluation.results import Curve, Part, Quantity, Table, table_of
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, Section, Setting, optional
from maskformer_jax.tasks.confusion import fraction
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS

# A matched object is a hadron when its probability of being none is below this.
NONE_PROB_CUT = 0.5

# Standard error of the median of normal values, in units of the width over the root of their
# number.
MEDIAN_ERROR = math.sqrt(math.pi / 2)
HALF_WIDTH = "half_width_68"
WIDTHS, MOMENTS = in_words("median", HALF_WIDTH), in_words("mean", "std")
OUTLIERS = (
    "Single outliers rule these two, above all where a residual is divided by a small true value; "
    "medians and widths are robust."
)

BINS = 80

# Edges of the true transverse momentum [GeV]: hadrons of top quarks, then of a heavy resonance.
PT_EDGES = np.array([5, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 800, 1200, 2000.0])


Cells = dict[str, Quantity | None]


class Entries(NamedTuple):
    """Entries one after the other.

    Attributes:
        found: whether they are.
        true: in the units of the file.
        predicted: likewise.
        pt: [GeV].
        scaled: in the space of the loss.
    """

    found: Bool[np.ndarray, " H"]
    true: Float[np.ndarray, "H R"]
    predicted: Float[np.ndarray, "H R"]
    pt: Float[np.ndarray, " H"]
    scaled: Scaled


class RegressionSection(Section):
    """Residuals of true objects that are found, or of jets or constituents.

    An object is found when it is matched to one with p_none < 0.5. An entry takes 125 bytes with
    five targets, since quantiles need them all.
    """

    @property
    def _is_object(self) -> bool:
        return self.task.options.kind == "objects"

    @property
    def _label(self) -> str:
        return f"{self.task.name}.regression" if self._is_object else self.task.name

    @property
    def _of(self) -> Targets:
        """What is regressed; its transforms say which residuals are formed."""
        return self.setting.schema.labels[self._label]

    def keep(self, chunk: Chunk) -> Entries:
        """Entries of some jets with a true value."""
        of, true, given = self._of.of, chunk.true[self._label], chunk.predictions[self.task.name]
        shape, predicted = true.shape[:-1], chunk.predicted[self._label]
        values = given["regression" if self._is_object else "values"]
        pt = np.broadcast_to(of_jets(chunk, self.setting.config), shape[::-1]).T
        found = valid = np.ones(shape, bool)
        called, constituents = np.zeros(shape, np.int8), np.zeros(shape, np.int16)
        means = np.full(true.shape, math.nan, np.float32)
        if self._is_object:
            predicted, values = predicted[:, : shape[1]], values[:, : shape[1]]
            valid, pt = chunk.labels[of].valid, self._object_pt(chunk, shape)
            if "class_prob" in given:
                prob = given["class_prob"][:, : shape[1]]
                found = prob[..., -1] < NONE_PROB_CUT
                called = prob[..., :-1].argmax(axis=-1).astype(np.int8)
            if "mask_index" in given:
                constituents = chunk.labels[of].masks.sum(axis=-1, dtype=np.int16)
                inputs = self.task.options.losses.regression.means
                fields = [inputs.get(name, name) for name in self._of.transforms]
                stream = chunk.records.streams[self.setting.schema.objects[of].of]
                means = mask_means(stream, given["mask_index"], shape[1], fields)
        elif of != JETS:
            valid = chunk.records.streams[of].index >= 0
        valid = valid & np.isfinite(true).any(axis=-1)
        with np.errstate(over="ignore"):
            physical = [x.astype(np.float32) for x in (true, predicted, pt)]
        scaled = Scaled(chunk.labels[self._label], values, called, means, constituents)
        return jax.tree.map(lambda x: x[valid], Entries(found, *physical, scaled))

    def _object_pt(self, chunk: Chunk, shape: tuple[int, ...]) -> Float[np.ndarray, "N M"]:
        field, table = self.setting.config.evaluation.fields.hadron_pt, chunk.records.objects
        pt, known = np.full(shape, math.nan), optional(table[self._of.of], field)[:, : shape[1]]
        pt[:, : known.shape[1]] = known / MEV_PER_GEV
        return pt

    def part(self) -> Part:
        """How many are found, widths and moments of the residuals; histograms and response."""
        entries, of, targets = self.kept(), self._of.of, list(self._of.transforms)
        title = f"{singular(of)} properties".replace("_", " ").capitalize()
        fields = self.setting.config.evaluation.fields
        known, response = units(fields), []
        rows, widths, moments, curves = {}, {}, {}, []
        for name, definition in definitions(self._of.transforms, fields.hadron_mass).items():
            unit, column = known.get(definition.target, ""), targets.index(definition.target)
            rows[name] = formula(definition, unit)
            predicted, true = (x[:, column] for x in (entries.predicted, entries.true))
            values = residuals(predicted[entries.found], true[entries.found], definition)
            found = spread(values)
            widths[name], moments[name] = _quantities(found, "" if definition.normalised else unit)
            response += self._response(name, definition, entries, column)
            if entries.found.any():
                curves.append(
                    Curve(
                        *("residuals", name, "counts"),
                        histogram(values, _edges(true, definition)),
                        "Residuals, in the legends median ± half of the 68 % width",
                        x_label=rows[name],
                        y_label=f"Fraction of {of}",
                        mark=0.0,
                        note=with_error(found.median, found.half_width_68),
                    )
                )
        scaled = Scaled(*(x[entries.found] for x in entries.scaled))
        tables = [self._found(entries)] if self._is_object else []
        tables += learnt.tables(scaled, targets, of, title)
        for name, words, columns, cells, notes in (
            ("residual_widths", "median and half of the 68 % width", WIDTHS, widths, ()),
            ("residual_moments", "mean and standard deviation", MOMENTS, moments, (OUTLIERS,)),
        ):
            words = f"{title}: {words} of the residuals"
            columns = {**columns, "number": of}
            options = {"corner": "residual", "notes": notes, "is_ratio": not notes}
            tables.append(table_of(name, words, rows, columns, cells, **options))
        # The medians are drawn first.
        response.sort(key=lambda curve: not math.isfinite(curve.mark))
        return Part(tables, curves=[*curves, *response])

    def _found(self, entries: Entries) -> Table:
        of = self._of.of
        found = fraction(int(np.count_nonzero(entries.found)), len(entries.found))
        cells = {"found": {"share": percent(found), "of": count(found.total)}}
        title = f"True {of} whose object is more likely real than none, which have residuals"
        rows, columns = {"found": f"{of} found"}, in_words("share", "of")
        return table_of(f"{of}_found", title, rows, columns, cells)

    def _response(
        self, name: str, definition: Residual, entries: Entries, column: int
    ) -> Iterator[Curve]:
        """Median and width of predicted/true against true pT, of a target with a logarithm.

        That of objects is against their own pT, of others against that of the jet.
        """
        found, true = entries.found & np.isfinite(entries.pt), entries.true[:, column]
        if not (definition.has_response and found.any()):
            return
        against = f"true {singular(self._of.of)}" if self._is_object else "jet"
        kept = found & definition.admits(true)
        ratio = entries.predicted[kept, column].astype(np.float64) / true[kept]
        for kind, points in binned_spread(ratio, entries.pt[kept], PT_EDGES).items():
            options = {
                "title": "Response: predicted over true value",
                "x_label": f"{against} $p_T$ [GeV]",
                "y_label": f"{WIDTHS[kind]}, {definition.target}",
                "mark": 1.0 if kind == "median" else math.nan,
            }
            yield Curve("response", f"{kind} {name}", "profile", points, **options)


def _edges(true: Float[np.ndarray, " H"], definition: Residual) -> Float[np.ndarray, " E"]:
    if definition.edges is not None:
        return np.linspace(*definition.edges, BINS + 1)
    # Of all true entries, so that runs on one file have the same edges.
    width = spread(true[np.isfinite(true)]).half_width_68
    limit = round_up(2 * width) if width > 0 else 1.0
    return np.linspace(-limit, limit, BINS + 1)


def _quantities(found: Spread, unit: str) -> tuple[Cells, Cells]:
    """Robust measures, and moments; errors are those of a normal distribution of the same width."""
    entries, root = count(found.number), math.sqrt(max(found.number, 1))
    half = found.half_width_68
    middle = number(found.median, MEDIAN_ERROR * half / root, unit, "zero")
    width = number(half, WIDTH_ERROR * half / root, unit, "low")
    mean = number(found.mean, found.std / root, unit, "zero")
    std = number(found.std, found.std_error, unit, "low")
    return (
        {"median": middle, HALF_WIDTH: width, "number": entries},
        {"mean": mean, "std": std, "number": entries},
    )


def build(setting: Setting, task: Task) -> RegressionSection | None:
    """Properties of objects, or quantities of jets or constituents; none without their truth."""
    needed, has_targets = [task.name], True
    if task.options.kind == "objects":
        losses, objects = task.options.losses, task.options.objects
        needed = [objects, f"{task.name}.regression"]
        needed += [] if losses.object_class is None else [losses.object_class.label]
        has_targets = losses.regression is not None
    return RegressionSection(setting, task) if has_targets and setting.has(*needed) else None
