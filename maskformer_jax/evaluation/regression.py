"""Residuals and response of regressed quantities; Section 5.6.5 of the thesis."""

import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.data.schema import Targets
from maskformer_jax.evaluation import learnt
from maskformer_jax.evaluation.binned_efficiency import of_jets
from maskformer_jax.evaluation.cells import with_error
from maskformer_jax.evaluation.distributions import (
    Spread,
    binned_spread,
    histogram,
    round_up,
    spread,
)
from maskformer_jax.evaluation.learnt import Scaled, mask_means
from maskformer_jax.evaluation.names import in_words, singular
from maskformer_jax.evaluation.quantities import WIDTH_ERROR, count, number, percent
from maskformer_jax.evaluation.residuals import Residual, definitions, formula, residuals, units
from maskformer_jax.evaluation.results import Curve, Part, Quantity, Table, table_of
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, Setting
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
MASS_RANGE = (-0.3, 0.3)

# Edges of the true transverse momentum [GeV]: hadrons of top quarks, then of a heavy resonance.
PT_EDGES = np.array([5, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 800, 1200, 2000.0])


Cells = dict[str, Quantity | None]


class _Entries(NamedTuple):
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


class RegressionSection:
    """Residuals of true objects that are found, or of jets or constituents.

    An object is found when it is matched to one with p_none < 0.5. An entry takes 125 bytes with
    five targets, since quantiles need them all.
    """

    def __init__(self, setting: Setting, task: Task, label: str):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a regression, or of objects.
            label: the targets, whose transforms say which residuals are formed.
        """
        self._config, self._task, self._label = setting.config, task, label
        targets: Targets = setting.schema.labels[label]
        self._of, self._targets = targets.of, list(targets.transforms)
        self._schema, self._is_object = setting.schema, targets.of in setting.schema.objects
        self._definitions = definitions(targets.transforms)
        fields = setting.config.evaluation.fields
        self._units, self._mass = units(fields), fields.hadron_mass
        self._parts: list[_Entries] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        values = chunk.true[self._label], chunk.predicted[self._label]
        shape = values[0].shape[:-1]
        found = np.ones(shape, bool)
        pt = np.broadcast_to(of_jets(chunk, self._config), shape[::-1]).T
        if self._is_object:
            valid, pt = chunk.labels[self._of].valid, self._object_pt(chunk, shape)
            prob = chunk.predictions[self._task.name].get("class_prob")
            if prob is not None:
                found = prob[:, : shape[1], -1] < NONE_PROB_CUT
            values = values[0], values[1][:, : shape[1]]
        elif self._of == JETS:
            valid = found
        else:
            valid = chunk.records.streams[self._of].index >= 0
        valid = valid & np.isfinite(values[0]).any(axis=-1)
        scaled = Scaled(*(x[valid] for x in self._scaled(chunk, shape)))
        with np.errstate(over="ignore"):
            parts = [x[valid].astype(np.float32) for x in (*values, pt)]
            self._parts.append(_Entries(found[valid], *parts, scaled))

    def _scaled(self, chunk: Chunk, shape: tuple[int, ...]) -> Scaled:
        """What the loss sees, each `[N, M, ...]`."""
        true, given = chunk.labels[self._label], chunk.predictions[self._task.name]
        called, constituents = np.zeros(shape, np.int8), np.zeros(shape, np.int16)
        means = np.full(true.shape, math.nan, np.float32)
        if not self._is_object:
            return Scaled(true, given["values"], called, means, constituents)
        number = shape[1]
        if "class_prob" in given:
            called = given["class_prob"][:, :number, :-1].argmax(axis=-1).astype(np.int8)
        if "mask_index" in given:
            constituents = chunk.labels[self._of].masks.sum(axis=-1, dtype=np.int16)
            inputs = self._task.options.losses.regression.means
            fields = [inputs.get(name, name) for name in self._targets]
            stream = chunk.records.streams[self._schema.objects[self._of].of]
            means = mask_means(stream, given["mask_index"], number, fields)
        return Scaled(true, given["regression"][:, :number], called, means, constituents)

    def _object_pt(self, chunk: Chunk, shape: tuple[int, ...]) -> Float[np.ndarray, "N M"]:
        pt, name = np.full(shape, math.nan), self._config.evaluation.fields.hadron_pt
        table = chunk.records.objects[self._of]
        if name in table.dtype.names:
            columns = table[name][:, : shape[1]] / MEV_PER_GEV
            pt[:, : columns.shape[1]] = columns
        return pt

    def part(self) -> Part:
        """How many are found, widths and moments of the residuals; histograms and response."""
        entries = self._all()
        title = f"{singular(self._of)} properties".replace("_", " ").capitalize()
        rows, widths, moments, curves = {}, {}, {}, []
        for name, definition in self._definitions.items():
            unit = self._units.get(definition.target, "")
            rows[name] = formula(definition, unit)
            values = self._residuals(entries, definition)
            found = spread(values)
            widths[name], moments[name] = _quantities(found, "" if definition.normalised else unit)
            if entries.found.any():
                curves.append(
                    Curve(
                        *("residuals", name, "counts"),
                        histogram(values, self._edges(entries, definition)),
                        "Residuals, in the legends median ± half of the 68 % width",
                        x_label=rows[name],
                        y_label=f"Fraction of {self._of}",
                        mark=0.0,
                        note=with_error(found.median, found.half_width_68),
                    )
                )
        scaled = Scaled(*(x[entries.found] for x in entries.scaled))
        tables = [self._found(entries)] if self._is_object else []
        tables += learnt.tables(scaled, self._targets, self._of, title)
        for name, words, columns, cells, notes in (
            ("residual_widths", "median and half of the 68 % width", WIDTHS, widths, ()),
            ("residual_moments", "mean and standard deviation", MOMENTS, moments, (OUTLIERS,)),
        ):
            words = f"{title}: {words} of the residuals"
            columns = {**columns, "number": self._of}
            options = {"corner": "residual", "notes": notes, "is_ratio": not notes}
            tables.append(table_of(name, words, rows, columns, cells, **options))
        return Part(tables, curves=[*curves, *self._response(entries)])

    def _found(self, entries: _Entries) -> Table:
        found = fraction(int(np.count_nonzero(entries.found)), len(entries.found))
        cells = {"found": {"share": percent(found), "of": count(found.total)}}
        title = f"True {self._of} whose object is more likely real than none, which have residuals"
        rows, columns = {"found": f"{self._of} found"}, in_words("share", "of")
        return table_of(f"{self._of}_found", title, rows, columns, cells)

    def _response(self, entries: _Entries) -> list[Curve]:
        """Median and width of predicted/true against true pT, of the targets with a logarithm.

        That of objects is against their own pT, of others against that of the jet.
        """
        found = entries.found & np.isfinite(entries.pt)
        against = f"true {singular(self._of)}" if self._is_object else "jet"
        curves = []
        for name, definition in self._definitions.items():
            if not (definition.has_response and found.any()):
                continue
            column = self._targets.index(definition.target)
            true, predicted = entries.true[:, column], entries.predicted[:, column]
            kept = found & definition.admits(true)
            ratio = predicted[kept].astype(np.float64) / true[kept]
            for kind, points in binned_spread(ratio, entries.pt[kept], PT_EDGES).items():
                options = {
                    "title": "Response: predicted over true value",
                    "x_label": f"{against} $p_T$ [GeV]",
                    "y_label": f"{WIDTHS[kind]}, {definition.target}",
                    "mark": 1.0 if kind == "median" else math.nan,
                }
                curves.append(Curve("response", f"{kind} {name}", "profile", points, **options))
        return sorted(curves, key=lambda curve: not math.isfinite(curve.mark))

    def _all(self) -> _Entries:
        return jax.tree.map(lambda *parts: np.concatenate(parts), *self._parts)

    def _residuals(self, entries: _Entries, definition: Residual) -> Float[np.ndarray, " N"]:
        column = self._targets.index(definition.target)
        found = entries.found
        return residuals(entries.predicted[found, column], entries.true[found, column], definition)

    def _edges(self, entries: _Entries, definition: Residual) -> Float[np.ndarray, " E"]:
        limits = definition.edges
        if definition.target == self._mass and definition.has_response:
            limits = MASS_RANGE
        elif limits is None:
            # Of all true entries, so that runs on one file have the same edges.
            true = entries.true[:, self._targets.index(definition.target)]
            width = spread(true[np.isfinite(true)]).half_width_68
            limit = round_up(2 * width) if width > 0 else 1.0
            limits = (-limit, limit)
        return np.linspace(*limits, BINS + 1)


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


def of_objects(setting: Setting, task: Task) -> RegressionSection | None:
    """Properties of objects; none without them or without their truth."""
    loss, label = task.options.losses.object_class, f"{task.name}.regression"
    needed = [task.options.objects, label, *([] if loss is None else [loss.label])]
    has_truth = task.options.losses.regression is not None and setting.has(*needed)
    return RegressionSection(setting, task, label) if has_truth else None


def of_others(setting: Setting, task: Task) -> RegressionSection | None:
    """Quantities of jets or constituents; none without their truth."""
    return RegressionSection(setting, task, task.name) if setting.has(task.name) else None
