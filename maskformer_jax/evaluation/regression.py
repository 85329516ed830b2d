"""Residuals of the hadron properties."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from maskformer_jax.config import Config, TransformConfig
from maskformer_jax.evaluation.section import Chunk

# An object is a hadron when this is more than its probability of being none.
NONE_PROB_CUT = 0.5


class Residual(NamedTuple):
    """How the residual of one target is formed.

    Attributes:
        relative: (predicted - true)/true rather than predicted - true.
        minimum: hadrons with a true value up to this one are left out, in the unit of the file.
    """

    relative: bool
    minimum: float


def residual_definition(transform: TransformConfig | None) -> Residual:
    """Relative for targets that are regressed as logarithms, absolute for the others.

    With log(1 + x/scale) the target may be zero, where a relative residual has no meaning; hadrons
    up to `scale` (1 mm of flight length) are left out.
    """
    match transform.name if transform else "identity":
        case "log":
            return Residual(relative=True, minimum=0.0)
        case "log1p":
            return Residual(relative=True, minimum=transform.scale)
        case _:
            return Residual(relative=False, minimum=-math.inf)


def residuals(
    predicted: Float[np.ndarray, "B M R"],
    true: Float[np.ndarray, "B M R"],
    found: Bool[np.ndarray, "B M"],
    definitions: Sequence[Residual],
) -> list[Float[np.ndarray, " N"]]:
    """Residuals of the found hadrons, one array per target.

    Args:
        predicted: physical units.
        true: physical units.
        found: real hadrons whose matched object is more likely real than not, p_none < 0.5.
        definitions: of each target.
    """
    columns = []
    for column, definition in enumerate(definitions):
        x, y = predicted[..., column][found], true[..., column][found]
        kept = y > definition.minimum
        difference = x[kept] - y[kept]
        columns.append(difference / y[kept] if definition.relative else difference)
    return columns


class Spread(NamedTuple):
    """Summary of a distribution; NaN where there are no entries.

    Attributes:
        median: bias that tails do not pull.
        half_width_68: half the distance between the 16 % and 84 % quantiles; the standard
            deviation of a normal distribution.
        mean: with all tails.
        std: with all tails.
        number: entries.
    """

    median: float
    half_width_68: float
    mean: float
    std: float
    number: int


def spread(values: Float[np.ndarray, " N"]) -> Spread:
    """Location and width of `values`."""
    if len(values) == 0:
        return Spread(math.nan, math.nan, math.nan, math.nan, 0)
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    exact = values.astype(np.float64)
    return Spread(
        median=float(median),
        half_width_68=float(high - low) / 2,
        mean=float(exact.mean()),
        std=float(exact.std()),
        number=len(values),
    )


def definitions(
    targets: Sequence[str], transforms: Mapping[str, TransformConfig]
) -> list[Residual]:
    """Definition of each of `targets` from the transforms of the config."""
    return [residual_definition(transforms.get(name)) for name in targets]


class RegressionSection:
    """Residuals of the hadrons that are found."""

    def __init__(self, config: Config):
        """Starts empty."""
        hadrons = config.data.hadrons
        self._names = hadrons.targets
        self._definitions = definitions(hadrons.targets, hadrons.transforms)
        self._residuals: list[list[np.ndarray]] = []
        self._found = self._of = 0

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        valid = chunk.targets.object_valid
        found = valid & (chunk.predictions.object_prob[..., -1] < NONE_PROB_CUT)
        columns = residuals(chunk.predicted, chunk.true, found, self._definitions)
        self._residuals.append([column.astype(np.float32) for column in columns])
        self._found += int(found.sum())
        self._of += int(valid.sum())

    def metrics(self) -> dict[str, Any]:
        """Location and width of the residuals of each target."""
        columns = zip(*self._residuals, strict=True)
        summaries = {}
        for name, definition, column in zip(self._names, self._definitions, columns, strict=True):
            formula = f"({name} - true)/true" if definition.relative else f"{name} - true"
            summaries[name] = {"formula": formula, **spread(np.concatenate(column))._asdict()}
        return {"found": self._found, "of": self._of, "residuals": summaries}

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
