"""Regression of quantities of jets or of the constituents of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from maskformer_jax.configuration import chosen_by
from maskformer_jax.data.config import TransformConfig
from maskformer_jax.data.schema import Needs, Targets
from maskformer_jax.errors import check, check_range, known
from maskformer_jax.gradients import LossSums
from maskformer_jax.model.config import MAX_WIDTH
from maskformer_jax.tasks.head import EntryHead
from maskformer_jax.tasks.task import (
    Context,
    Kind,
    Task,
    check_place,
    check_weight,
    real_entries,
    weighted_sum,
    weights_of,
)
from maskformer_jax.types import Batch, Labels

# Of the logarithm of a standard deviation, in the scale of the standardised target: within it
# neither the loss nor its derivative overflows in float32.
LOG_STD_RANGE = (-10.0, 10.0)


@dataclass(frozen=True)
class RegressionConfig:
    """Quantities of each jet, or of each constituent of a stream.

    Attributes:
        of: `jets` or a stream.
        targets: field -> transform, before it is standardised.
        denominators: field -> field of the same dataset by which it is divided first.
        loss: mean over the targets of l1: |x - t|; l2: (x - t)^2; huber: quadratic up to 1; or
            gaussian: -log of a normal density whose mean and standard deviation are predicted.
        spread: what `gaussian` predicts beside the mean: `log_std`, the logarithm of the standard
            deviation, or `variance`, which is its softplus, as in Salt.
        nan: a target that is NaN is an `error`, or left out of the loss (`ignore`).
        sample_weight: label of the weights of the entries in the loss; none: 1.
        head_widths: hidden layers; none: those of the model.
        kind: of the task.
    """

    of: str
    targets: dict[str, TransformConfig] = field(
        metadata=chosen_by("name", "transforms", default="identity")
    )
    denominators: dict[str, str] = field(default_factory=dict)
    loss: Literal["l1", "l2", "huber", "gaussian"] = "l1"
    spread: Literal["log_std", "variance"] = "log_std"
    nan: Literal["error", "ignore"] = "error"
    sample_weight: str | None = None
    head_widths: list[int] | None = None
    kind: Literal["regression"] = "regression"

    def __post_init__(self):
        check_range(self, 1, MAX_WIDTH, "head_widths")
        check(len(self.targets) > 0, "targets", "name at least one field", self.targets)
        for name in self.denominators:
            known(name, self.targets, "target (`denominators`)")


def gaussian_loss(
    output: Float[Array, "... X"], target: Float[Array, "... R"], spread: str = "log_std"
) -> Float[Array, "... R"]:
    """(t - m)^2 / (2 s^2) + log s, the negative logarithm of a normal density up to a constant.

    Args:
        output: means m, then what the standard deviations s are made of by `split`; X = 2R.
        target: t.
        spread: of the configuration.

    Source: Nix, Weigend 1994.
    """
    mean, log_std = split(output, spread)
    return 0.5 * jnp.square((target - mean) * jnp.exp(-log_std)) + log_std


def split(
    output: Float[Array, "... X"], spread: str
) -> tuple[Float[Array, "... R"], Float[Array, "... R"]]:
    """Mean, and logarithm of the standard deviation within `LOG_STD_RANGE`."""
    mean, log_std = jnp.split(output, 2, axis=-1)
    if spread == "variance":
        # Below, the softplus and its derivative would be zero in float32.
        log_std = 0.5 * jnp.log(jax.nn.softplus(jnp.maximum(log_std, 4 * LOG_STD_RANGE[0])))
    return mean, jnp.clip(log_std, *LOG_STD_RANGE)


def _huber(difference: Array) -> Array:
    size = jnp.abs(difference)
    return jnp.where(size < 1, 0.5 * difference**2, size - 0.5)


LOSSES = {"l1": jnp.abs, "l2": jnp.square, "huber": _huber}


def build(name: str, options: RegressionConfig, context: Context) -> Task:
    """The task.

    Raises:
        InputError: it is of something that is not there, or a weight is wrong.
    """
    check_place(options.of, context, name)
    read = check_weight(options.sample_weight, options.of, context, name)
    label = Targets(options.of, options.targets, options.denominators, options.nan == "ignore")
    number, is_gaussian = len(options.targets), options.loss == "gaussian"
    widths = context.head_widths(options)

    def head(rngs: nnx.Rngs) -> EntryHead:
        outputs = number * (2 if is_gaussian else 1)
        return EntryHead(options.of, outputs, widths, context, None, rngs)

    def counted(batch: Batch, target: Float[Array, "... R"]) -> Bool[Array, "... R"]:
        return real_entries(options.of, batch)[..., None] & ~jnp.isnan(target)

    def terms(output: Float[Array, "... X"], batch: Batch, labels: Labels) -> list[LossSums]:
        target = labels[name]
        there = counted(batch, target)
        # A NaN that is only masked in the loss would come back in its derivative.
        target = jnp.where(there, target, 0.0)
        if is_gaussian:
            loss = gaussian_loss(output, target, options.spread)
        else:
            loss = LOSSES[options.loss](output - target)
        weight = jnp.asarray(weights_of(options.sample_weight, options.of, batch, labels, context))
        return [weighted_sum(loss, jnp.where(there, weight[..., None], 0.0) / number)]

    def predict(output: Float[Array, "... X"], batch: Batch, labels: Labels) -> dict[str, Array]:
        del batch, labels
        output = output.astype(jnp.float32)
        if not is_gaussian:
            return {"values": output}
        mean, log_std = split(output, options.spread)
        return {"values": mean, "std": jnp.exp(log_std)}

    def count(output: Float[Array, "... X"], batch: Batch, labels: Labels) -> dict[str, Array]:
        if name not in labels:
            return {}
        target = labels[name]
        there = counted(batch, target)
        values = predict(output, batch, labels)["values"]
        error = jnp.abs(jnp.where(there, values - jnp.where(there, target, 0.0), 0.0))
        axes = tuple(range(target.ndim - 1))
        return {"error": error.sum(axes), "number": there.sum(axes)}

    def figures(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
        found = zip(options.targets, sums["error"], sums["number"], strict=True)
        return {f"error/{name}/{target}": float(e / n) for target, e, n in found if n}

    return Task(
        name=name,
        options=options,
        losses=(name,),
        needs=Needs({name: label, **read}),
        head=head,
        terms=terms,
        quantities=tuple(f"error/{name}/{target}" for target in options.targets),
        count=count,
        figures=figures,
        predict=predict,
    )


KIND = Kind(RegressionConfig, build)
