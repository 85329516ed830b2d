"""Residuals and response of regressed quantities; Section 5.6.5 of the thesis."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.data.config import TransformConfig
from maskformer_jax.data.schema import Targets
from maskformer_jax.evaluation.binned_efficiency import jet_pt
from maskformer_jax.evaluation.config import FieldsConfig
from maskformer_jax.evaluation.distributions import binned_spread, histogram, round_up, spread
from maskformer_jax.evaluation.names import singular
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, Setting
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS

# A matched object is a hadron when its probability of being none is below this.
NONE_PROB_CUT = 0.5

BINS = 80
# Ranges of the histograms, by the kind of residual. A prediction of a positive quantity ends the
# normalised residual at 1; what is beyond a range is in the first or last bin.
LOG_RANGE = (-1.5, 1.0)
LENGTH_RANGE = (-2.0, 1.0)
SHORT_RANGE = (-5.0, 1.0)
MASS_RANGE = (-0.3, 0.3)
SIGNED_RANGE = (-4.0, 4.0)

# Edges of the true transverse momentum [GeV]: hadrons of top quarks, then of a heavy resonance.
PT_EDGES = np.array([5, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 800, 1200, 2000.0])


class Residual(NamedTuple):
    """How a residual is formed, and of which entries.

    Attributes:
        target: name of the regression target.
        normalised: (true - predicted)/true rather than true - predicted.
        low: entries with a true value up to this one are left out, in the unit of the file.
        high: likewise those above this one.
        edges: range of the histogram; none: twice as wide as the true values.
        has_response: of a positive quantity, whose ratio predicted/true has a meaning.
    """

    target: str
    normalised: bool
    low: float = -math.inf
    high: float = math.inf
    edges: tuple[float, float] | None = None
    has_response: bool = False

    def admits(self, true: Float[np.ndarray, " H"]) -> Bool[np.ndarray, " H"]:
        """True for the entries that count; zero has no normalised residual, NaN none at all."""
        kept = (true > self.low) & (true <= self.high)
        return kept & (true != 0) if self.normalised else kept


def definitions(transforms: Mapping[str, TransformConfig]) -> dict[str, Residual]:
    """Name -> residual of every target, by its transform.

    - log, for positive quantities: normalised.
    - log1p, for lengths that may be zero: normalised above `scale`, where a ratio has a meaning,
      and `<target>_short`, not normalised, from zero to `scale` (1 mm for Lxy).
    - others, of either sign: normalised, and `<target>_absolute`, not normalised. The normalised
      one is ruled by entries whose true value happens to be close to zero: its standard deviation
      says little about the predictions, `<target>_absolute` does.
    """
    chosen = {}
    for target, transform in transforms.items():
        scale = transform.scale
        match transform.name:
            case "log":
                chosen[target] = Residual(target, True, edges=LOG_RANGE, has_response=True)
            case "log1p":
                chosen[target] = Residual(
                    target, True, low=scale, edges=LENGTH_RANGE, has_response=True
                )
                low, high = SHORT_RANGE
                short = Residual(target, False, high=scale, edges=(low * scale, high * scale))
                chosen[f"{target}_short"] = short
            case _:
                chosen[target] = Residual(target, True, edges=SIGNED_RANGE)
                chosen[f"{target}_absolute"] = Residual(target, False)
    return chosen


def formula(definition: Residual, unit: str) -> str:
    """The residual in words: `Lxy: (true - predicted)/true, true > 1 mm`."""
    difference = "(true - predicted)/true" if definition.normalised else "true - predicted"
    text = f"{definition.target}: {difference}"
    if math.isfinite(definition.low):
        text += f", true > {definition.low:g} {unit}".rstrip()
    if math.isfinite(definition.high):
        text += f", true <= {definition.high:g} {unit}".rstrip()
    return text


def units(fields: FieldsConfig) -> dict[str, str]:
    """Unit of each field that has one."""
    return {
        fields.jet_pt: "MeV",
        fields.hadron_pt: "MeV",
        fields.hadron_mass: "MeV",
        fields.hadron_length: "mm",
        fields.hadron_x: "mm",
        fields.hadron_y: "mm",
        fields.hadron_dphi: "rad",
    }


def residuals(
    predicted: Float[np.ndarray, " H"], true: Float[np.ndarray, " H"], definition: Residual
) -> Float[np.ndarray, " N"]:
    """Residuals of the entries that the definition admits, float64.

    Args:
        predicted: in the unit of the file.
        true: likewise; where it is exactly zero a normalised residual is left out.
        definition: what is formed.
    """
    predicted, true = (np.asarray(x, np.float64) for x in (predicted, true))
    kept = definition.admits(true)
    difference = true[kept] - predicted[kept]
    return difference / true[kept] if definition.normalised else difference


class _Entries(NamedTuple):
    """Entries one after the other: whether they are found, truth, prediction, pT [GeV]."""

    found: Bool[np.ndarray, " H"]
    true: Float[np.ndarray, "H R"]
    predicted: Float[np.ndarray, "H R"]
    pt: Float[np.ndarray, " H"]


class RegressionSection:
    """Residuals of true objects that are found, or of jets or constituents.

    An object is found when it is matched to one with p_none < 0.5. An entry takes 45 bytes with
    five targets, since quantiles need them all.
    """

    def __init__(self, setting: Setting, task: Task, label: str):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a regression, or of objects.
            label: the targets, whose transforms say which residuals are formed.
        """
        self._config, self._task, self._label = setting.config, task.name, label
        targets: Targets = setting.schema.labels[label]
        self._of, self._targets = targets.of, list(targets.transforms)
        self._is_object = targets.of in setting.schema.objects
        self._definitions = definitions(targets.transforms)
        fields = setting.config.evaluation.fields
        self._units, self._mass = units(fields), fields.hadron_mass
        self._parts: list[_Entries] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        values = chunk.true[self._label], chunk.predicted[self._label]
        shape = values[0].shape[:-1]
        found = np.ones(shape, bool)
        pt = np.broadcast_to(jet_pt(chunk, self._config), shape[::-1]).T
        if self._is_object:
            valid, pt = chunk.labels[self._of].valid, self._object_pt(chunk, shape)
            prob = chunk.predictions[self._task].get("class_prob")
            if prob is not None:
                found = prob[:, : shape[1], -1] < NONE_PROB_CUT
            values = values[0], values[1][:, : shape[1]]
        elif self._of == JETS:
            valid = found
        else:
            valid = chunk.records.streams[self._of].index >= 0
        valid = valid & np.isfinite(values[0]).any(axis=-1)
        with np.errstate(over="ignore"):
            parts = (x[valid].astype(np.float32) for x in values)
            self._parts.append(_Entries(found[valid], *parts, pt[valid].astype(np.float32)))

    def _object_pt(self, chunk: Chunk, shape: tuple[int, ...]) -> Float[np.ndarray, "N M"]:
        pt, name = np.full(shape, math.nan), self._config.evaluation.fields.hadron_pt
        table = chunk.records.objects[self._of]
        if name in table.dtype.names:
            columns = table[name][:, : shape[1]] / MEV_PER_GEV
            pt[:, : columns.shape[1]] = columns
        return pt

    def metrics(self) -> dict[str, Any]:
        """How many are `found` of all, and for every residual `formula`, `unit`, `Spread`."""
        entries = self._all()
        summaries = {}
        for name, definition in self._definitions.items():
            unit = self._units.get(definition.target, "")
            summaries[name] = {
                "formula": formula(definition, unit),
                "unit": "" if definition.normalised else unit,
                **spread(self._residuals(entries, definition))._asdict(),
            }
        found = int(np.count_nonzero(entries.found))
        return {
            "entries": self._of,
            "against": f"true {singular(self._of)}" if self._is_object else "jet",
            "found": found,
            "of": len(entries.found),
            "residuals": summaries,
        }

    def curves(self) -> dict[str, Any]:
        """`histograms` of the residuals; `response`, predicted/true against true pT [GeV].

        That of objects is against their own pT, others against that of the jet. The response is
        that of the targets with a logarithm, of the entries whose normalised residual is formed;
        empty where the file has no such pT.
        """
        entries = self._all()
        histograms = {
            name: histogram(self._residuals(entries, definition), self._edges(entries, definition))
            for name, definition in self._definitions.items()
        }
        found = entries.found & np.isfinite(entries.pt)
        response = {}
        for name, definition in self._definitions.items():
            if definition.has_response and found.any():
                column = self._targets.index(definition.target)
                true, predicted = entries.true[:, column], entries.predicted[:, column]
                kept = found & definition.admits(true)
                ratio = predicted[kept].astype(np.float64) / true[kept]
                response[name] = binned_spread(ratio, entries.pt[kept], PT_EDGES)
        return {"histograms": histograms, "response": response}

    def _all(self) -> _Entries:
        return _Entries(*(np.concatenate(parts) for parts in zip(*self._parts, strict=True)))

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


def of_objects(setting: Setting, task: Task) -> RegressionSection | None:
    """Properties of objects; none without them or without their truth."""
    loss, label = task.options.losses.object_class, f"{task.name}.regression"
    needed = [task.options.objects, label, *([] if loss is None else [loss.label])]
    has_truth = task.options.losses.regression is not None and setting.has(*needed)
    return RegressionSection(setting, task, label) if has_truth else None


def of_others(setting: Setting, task: Task) -> RegressionSection | None:
    """Quantities of jets or constituents; none without their truth."""
    return RegressionSection(setting, task, task.name) if setting.has(task.name) else None
