"""An entry of the table of methods."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import optax

from maskformer_jax.weighting._combine import check_num_tasks
from maskformer_jax.weighting._shared import (
    SHARED_OPTIONS,
    OwnWeights,
    on_shared_parameters,
    own_one,
)

PerLoss = Literal["values", "names", "name", "base_options"]


@dataclass(frozen=True)
class Method:
    """A weighting method: its factory, and what it needs.

    Attributes:
        factory: `factory(num_tasks, **options)` returns an optax transformation whose `update`
            takes leaves `[K, ...]` and returns leaves `[...]`.
        family: `loss` needs the losses alone, `gramian` the inner products of the task gradients,
            `gradient` the task gradients themselves.
        needs: arguments of `update` beyond the losses: `losses_after`, the losses of the previous
            batch after its step, or `task_grads_2`, gradients on an independent batch.
        own: `own(weights, state, losses)`, weights of the parameters that one task alone reaches.
        weights_follow_losses: True for a method of family `loss` whose weights depend on the losses
            that they weight: these must be known before the backward pass.
        per_loss: options that say something of each loss, see `options_in_order`: `values` (one per
            loss), `names` (some losses), `name` (one of them), or `base_options` (options of the
            method that `base` names). `preference` of the methods on gradients comes on top.
    """

    factory: Callable[..., optax.GradientTransformationExtraArgs]
    family: Literal["loss", "gramian", "gradient"]
    needs: tuple[str, ...] = ()
    own: OwnWeights = own_one
    weights_follow_losses: bool = False
    per_loss: Mapping[str, PerLoss] = field(default_factory=dict)

    def accepts(self, option: str) -> bool:
        """Whether the method has an option of this name."""
        on_gradients = self.family != "loss"
        return option in self._own_options() or (on_gradients and option in SHARED_OPTIONS)

    def _own_options(self) -> Collection[str]:
        return inspect.signature(self.factory).parameters

    def __call__(self, num_tasks: int, **options: Any) -> optax.GradientTransformationExtraArgs:
        """The method for `num_tasks` tasks.

        Args:
            num_tasks: number of tasks K.
            **options: those of the factory; for a method on gradients also those of
                `on_shared_parameters`, unless the factory has its own of that name.

        Raises:
            ValueError: an option breaks its rule.
            TypeError: an option is unknown.
        """
        if self.family == "loss":
            return self.factory(num_tasks, **options)
        check_num_tasks(num_tasks)
        own = self._own_options()
        common = {
            name: options.pop(name)
            for name in SHARED_OPTIONS
            if name in options and name not in own
        }
        method = self.factory(num_tasks, **options)
        return on_shared_parameters(num_tasks, method, self.own, **common)
