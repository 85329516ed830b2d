"""Residuals and response of the hadron properties; Section 5.6.5 of the thesis."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.config import Config, FieldsConfig, TransformConfig
from maskformer_jax.evaluation.distributions import binned_spread, histogram, round_up, spread
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk

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
    """How a residual is formed, and of which hadrons.

    Attributes:
        target: name of the regression target.
        normalised: (true - predicted)/true rather than true - predicted.
        low: hadrons with a true value up to this one are left out, in the unit of the file.
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
        """True for the hadrons that count; zero has no normalised residual."""
        kept = (true > self.low) & (true <= self.high)
        return kept & (true != 0) if self.normalised else kept


def definitions(
    targets: Sequence[str], transforms: Mapping[str, TransformConfig]
) -> dict[str, Residual]:
    """Name -> residual of every target, by its transform.

    - log, for positive quantities: normalised.
    - log1p, for lengths that may be zero: normalised above `scale`, where a ratio has a meaning,
      and `<target>_short`, not normalised, from zero to `scale` (1 mm for Lxy).
    - others, of either sign: normalised, and `<target>_absolute`, not normalised. The normalised
      one is ruled by hadrons whose true value happens to be close to zero: its standard deviation
      says little about the predictions, `<target>_absolute` does.
    """
    chosen = {}
    for target in targets:
        transform = transforms.get(target) or TransformConfig()
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
    """Unit of each hadron field that has one."""
    return {
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
    """Residuals of the hadrons that the definition admits, float64.

    Args:
        predicted: in the unit of the file.
        true: likewise; where it is exactly zero a normalised residual is left out.
        definition: what is formed.
    """
    predicted, true = (np.asarray(x, np.float64) for x in (predicted, true))
    kept = definition.admits(true)
    difference = true[kept] - predicted[kept]
    return difference / true[kept] if definition.normalised else difference


class _Hadrons(NamedTuple):
    """True hadrons one after the other: whether they are found, truth, prediction, pT [GeV]."""

    found: Bool[np.ndarray, " H"]
    true: Float[np.ndarray, "H R"]
    predicted: Float[np.ndarray, "H R"]
    pt: Float[np.ndarray, " H"]


class RegressionSection:
    """Residuals of the hadrons that are found: matched to an object with p_none < 0.5.

    A hadron takes 45 bytes with five targets, since quantiles need them all.
    """

    def __init__(self, config: Config):
        """Starts empty.

        Args:
            config: its targets and their transforms say which residuals are formed.
        """
        hadrons = config.data.hadrons
        self._targets = list(hadrons.targets)
        self._definitions = definitions(hadrons.targets, hadrons.transforms)
        self._units = units(config.evaluation.fields)
        self._pt = config.evaluation.fields.hadron_pt
        self._mass = config.evaluation.fields.hadron_mass
        self._parts: list[_Hadrons] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        valid = chunk.targets.object_valid
        found = chunk.predictions.object_prob[..., -1] < NONE_PROB_CUT
        pt = np.full(valid.shape, math.nan, np.float32)
        hadrons = chunk.records.hadrons
        if hadrons is not None and self._pt in hadrons.dtype.names:
            columns = hadrons[self._pt][:, : valid.shape[1]] / MEV_PER_GEV
            pt[:, : columns.shape[1]] = columns
        with np.errstate(over="ignore"):
            values = (x[valid].astype(np.float32) for x in (chunk.true, chunk.predicted))
            self._parts.append(_Hadrons(found[valid], *values, pt[valid]))

    def metrics(self) -> dict[str, Any]:
        """Hadrons `found` and `of` how many, and for every residual `formula`, `unit`, `Spread`."""
        hadrons = self._all()
        summaries = {}
        for name, definition in self._definitions.items():
            unit = self._units.get(definition.target, "")
            summaries[name] = {
                "formula": formula(definition, unit),
                "unit": "" if definition.normalised else unit,
                **spread(self._residuals(hadrons, definition))._asdict(),
            }
        found = int(np.count_nonzero(hadrons.found))
        return {"found": found, "of": len(hadrons.found), "residuals": summaries}

    def curves(self) -> dict[str, Any]:
        """`histograms` of the residuals; `response`, predicted/true against true pT [GeV].

        The response is that of the targets with a logarithm, of the hadrons whose normalised
        residual is formed; empty where the file has no pT of the hadrons.
        """
        hadrons = self._all()
        histograms = {
            name: histogram(self._residuals(hadrons, definition), self._edges(hadrons, definition))
            for name, definition in self._definitions.items()
        }
        found = hadrons.found & np.isfinite(hadrons.pt)
        response = {}
        for name, definition in self._definitions.items():
            if definition.has_response and found.any():
                column = self._targets.index(definition.target)
                true, predicted = hadrons.true[:, column], hadrons.predicted[:, column]
                kept = found & definition.admits(true)
                ratio = predicted[kept].astype(np.float64) / true[kept]
                response[name] = binned_spread(ratio, hadrons.pt[kept], PT_EDGES)
        return {"histograms": histograms, "response": response}

    def _all(self) -> _Hadrons:
        return _Hadrons(*(np.concatenate(parts) for parts in zip(*self._parts, strict=True)))

    def _residuals(self, hadrons: _Hadrons, definition: Residual) -> Float[np.ndarray, " N"]:
        column = self._targets.index(definition.target)
        found = hadrons.found
        return residuals(hadrons.predicted[found, column], hadrons.true[found, column], definition)

    def _edges(self, hadrons: _Hadrons, definition: Residual) -> Float[np.ndarray, " E"]:
        limits = definition.edges
        if definition.target == self._mass and definition.has_response:
            limits = MASS_RANGE
        elif limits is None:
            # Of all true hadrons, so that runs on one file have the same edges.
            width = spread(hadrons.true[:, self._targets.index(definition.target)]).half_width_68
            limit = round_up(2 * width) if width > 0 else 1.0
            limits = (-limit, limit)
        return np.linspace(*limits, BINS + 1)
