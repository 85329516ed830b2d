"""What is regressed, and how far off it is: definitions of residuals."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.data.config import TransformConfig
from maskformer_jax.evaluation.config import FieldsConfig

# Ranges of the histograms, by the kind of residual. A prediction of a positive quantity ends the
# normalised residual at 1; what is beyond a range is in the first or last bin.
LOG_RANGE = (-1.5, 1.0)
MASS_RANGE = (-0.3, 0.3)
LENGTH_RANGE = (-2.0, 1.0)
SHORT_RANGE = (-5.0, 1.0)
SIGNED_RANGE = (-4.0, 4.0)


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


def definitions(
    transforms: Mapping[str, TransformConfig], mass: str = FieldsConfig.hadron_mass
) -> dict[str, Residual]:
    """Name -> residual of every target, by its transform.

    - log, for positive quantities: normalised, that of the mass in a narrow histogram.
    - log1p, for lengths that may be zero: normalised above `scale`, where a ratio has a meaning,
      and `<target>_below_scale`, not normalised, from zero to `scale` (1 mm for Lxy).
    - others, of either sign: normalised, and `<target>_absolute`, not normalised. The normalised
      one is ruled by entries whose true value happens to be close to zero: its standard deviation
      says little about the predictions, `<target>_absolute` does.
    """
    chosen = {}
    for target, transform in transforms.items():
        scale = transform.scale
        match transform.name:
            case "log":
                edges = MASS_RANGE if target == mass else LOG_RANGE
                chosen[target] = Residual(target, True, edges=edges, has_response=True)
            case "log1p":
                chosen[target] = Residual(
                    target, True, low=scale, edges=LENGTH_RANGE, has_response=True
                )
                low, high = SHORT_RANGE
                short = Residual(target, False, high=scale, edges=(low * scale, high * scale))
                chosen[f"{target}_below_scale"] = short
            case _:
                chosen[target] = Residual(target, True, edges=SIGNED_RANGE)
                chosen[f"{target}_absolute"] = Residual(target, False)
    return chosen


def formula(definition: Residual, unit: str) -> str:
    """The name of a residual wherever it is shown: `Lxy: (true - predicted)/true, true > 1 mm`.

    Its unit is behind it where it is not divided by the true value.
    """
    difference = "(true - predicted)/true" if definition.normalised else "true - predicted"
    text = f"{definition.target}: {difference}"
    for sign, limit in ((">", definition.low), ("<=", definition.high)):
        if math.isfinite(limit):
            text += f", true {sign} {limit:g} {unit}".rstrip()
    return text if definition.normalised or not unit else f"{text} [{unit}]"


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
