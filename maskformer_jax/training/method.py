"""The task weighting that the configuration names, with what only training knows filled in."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import optax
from jaxtyping import Array, PyTree

from maskformer_jax import tasks
from maskformer_jax.build import Model
from maskformer_jax.config import Config
from maskformer_jax.data import example
from maskformer_jax.errors import InputError
from maskformer_jax.gradients import CheaperWeights, Weighting, find_reach
from maskformer_jax.training.config import WeightingConfig
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import METHODS, options_in_order
from maskformer_jax.weighting import Weighting as Method


def make(
    weighting: WeightingConfig, losses: Sequence[str], without: Sequence[str] = (), **filled: Any
) -> Method:
    """The method for these losses.

    Args:
        weighting: name and options.
        losses: names of the losses, in order.
        without: losses that are left out; what options say of them is dropped.
        **filled: options that the configuration can't hold, for methods that have them.

    Raises:
        InputError: one of its options is wrong, or the method needs more losses.
    """
    entry = METHODS[weighting.name]
    known = {name: value for name, value in filled.items() if name in entry.from_caller}
    left = {name: _without(value, without) for name, value in weighting.options.items()}
    try:
        options = options_in_order(weighting.name, left, losses)
        return entry(len(losses), **{**known, **options})
    except (TypeError, ValueError) as error:
        raise InputError(f"`weighting.options` of {weighting.name}: {error}") from error


def _without(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(entry, names) for name, entry in value.items() if name not in names}
    if isinstance(value, list):
        return [entry for entry in value if not (isinstance(entry, str) and entry in names)]
    return value


def micro_batches(config: Config) -> int | None:
    """Parts over which a batch is spread; none: as many as fit the cache of a CPU best.

    One where nothing else is said on an accelerator, and where the backward pass of the first part
    would have to wait for the losses, or the gradients at the representation, of all of them.
    """
    chosen, weighting = config.training.micro_batches, config.weighting
    waits = METHODS[weighting.name].weights_follow_losses or (
        weighting.at == "representation" and weighting.gramian_fraction == 1
    )
    if chosen is None and (jax.default_backend() != "cpu" or waits):
        return 1
    return chosen


def build(
    config: Config,
    model: Model,
    optimiser: optax.GradientTransformation,
    steps_per_epoch: int,
) -> Weighting:
    """The method and what a step has to do for it.

    Args:
        config: `config.weighting` names the method.
        model: with its losses.
        optimiser: moves learnt weights, with a state of its own.
        steps_per_epoch: for methods that look back over epochs.

    Raises:
        InputError: one of the options is wrong.
    """
    entry = METHODS[config.weighting.name]
    known: dict[str, Any] = {"steps_per_epoch": steps_per_epoch, "optimiser": optimiser}
    if entry.family != "loss":
        last_layer = "norm_params" in entry.from_caller
        known |= parameters_of_losses(config, model, last_layer=last_layer)
    left_out = tasks.left_out(config.tasks, config.without)
    method = make(config.weighting, model.losses, left_out, **known)
    two_batches = "task_grads_2" in entry.needs
    cheaper = _cheaper(config.weighting)
    if cheaper != CheaperWeights() and method.weigh is None:
        raise InputError(
            "`weighting.every`, `weighting.gramian_fraction` and `weighting.at` need a method on "
            "the Gramian with one set of weights for the model (`granularity: model`); got "
            f"{config.weighting.name}"
        )
    parts = 2 * config.training.devices * (config.training.micro_batches or 1)
    if two_batches and config.training.batch_size % parts:
        raise InputError(
            f"`training.batch_size` must be a multiple of {parts}, since {config.weighting.name} "
            f"needs gradients on two halves of it; got {config.training.batch_size}"
        )
    return Weighting(
        method=method,
        scalarise=entry.family == "loss",
        second_forward="losses_after" in method.needs,
        two_batches=two_batches,
        cheaper=None if cheaper == CheaperWeights() else cheaper,
    )


def _cheaper(weighting: WeightingConfig) -> CheaperWeights:
    return CheaperWeights(
        every=weighting.every,
        fraction=weighting.gramian_fraction,
        at_representation=weighting.at == "representation",
    )


def parameters_of_losses(config: Config, model: Model, *, last_layer: bool) -> Mapping[str, Any]:
    """Options that say which parameters are shared, and where GradNorm takes its norms.

    Args:
        config: `config.weighting.shared` says what is shared.
        model: with its losses.
        last_layer: whether to look for the layer of the norms, which is the last that all reach.
    """
    fewest = {"reached": 2, "encoder": len(model.losses), "all": 0}[config.weighting.shared]

    def losses_of(params: PyTree, batch: Batch, labels: Labels) -> list[Array]:
        return [term.mean() for term in model.terms(model.apply(params, batch), batch, labels)]

    reach = find_reach(losses_of, model.params, *example(model.schema))
    shared = jax.tree.map(lambda count: count >= fewest, reach.counts) if fewest else None
    if not last_layer:
        return {"shared": shared}
    leaves = jax.tree_util.tree_leaves_with_path(reach.last_layer)
    last = {path for path, is_last in leaves if is_last}
    return {"shared": shared, "norm_params": last.__contains__}
