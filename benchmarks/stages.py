"""Where the time of a training step goes, and how far each stage is from the machine's limits.

Programs that stop after a stage (forward passes alone, gradients of the heads, of heads and
decoder, of everything) are compiled apart; a stage is the difference of two of them. The rates that
the machine reaches in large matrix products and in copying an array are measured in the same
rounds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from benchmarks.made import Made, Settings, overlay, sums_of
from benchmarks.tables import Table
from benchmarks.turns import medians, timed
from maskformer_jax.build import Model
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossSums, fill_rows, gradients_by_loss, micro_batches
from maskformer_jax.training import method

# Side of the square matrices, and numbers of the array that is copied.
MATRIX, ARRAY = 2048, 2**26
COLUMNS = {"stage": "", "ms": ".1f", "share": ".1%", "GFLOP": ".2f", "GFLOP/s": ".1f"}
COLUMNS |= {"of the peak": ".0%", "MB": ".0f", "GB/s": ".1f", "of the bandwidth": ".0%"}
COLUMNS |= {"limit": "", "time to the limit": ".1f"}


class Stage(NamedTuple):
    """What a stage takes, or what the machine does in a second.

    Attributes:
        seconds: measured; of a compiled program: runs it once, and returns its seconds.
        flops: floating-point operations, by XLA.
        bytes: read and written, by XLA.
    """

    seconds: Any
    flops: float
    bytes: float


def stages(name: str, settings: Settings) -> Table:
    """The table of one method."""
    config, steps = settings.config(overlay(name)), settings.steps
    found = programs(config)
    works = {
        label: partial(_repeated, program.seconds, steps)
        for label, program in (found | machine_programs()).items()
    }
    seconds = {label: total / steps for label, total in medians(works, settings.repeats).items()}
    machine = Stage(1.0, 2 * MATRIX**3 / seconds["product"], 8 * ARRAY / seconds["copy"])
    measured = {label: stage._replace(seconds=seconds[label]) for label, stage in found.items()}
    whole = measured.pop("whole step")
    parts = differences(measured)
    total = sum(stage.seconds for stage in parts.values())
    rows = [row(*pair, total, machine) for pair in [*parts.items(), ("whole step", whole)]]
    title = (
        f"Stages of a step with {name}, {settings.batch_size} jets, width "
        f"{config.model.embed_dim}; matrix products reach {machine.flops / 1e9:.0f} GFLOP/s, "
        f"copying {machine.bytes / 1e9:.1f} GB/s"
    )
    return Table(title, COLUMNS, rows)


def _repeated(work: Callable[[], float], times: int) -> float:
    return sum(work() for _ in range(times))


def programs(config: Config) -> dict[str, Stage]:
    """The programs, each of which but the last three contains the one before it."""
    made = Made(config)
    model, batch = made.model, made.batch()
    # What runs part by part is measured on the first one, as often as there are parts.
    used = int(batch[0].jet_valid.any(axis=1).sum())
    part = jax.device_put(jax.tree.map(lambda x: x[0], batch))
    weigh = method.build(config, model, optax.sgd(1.0), 1)
    gradients = partial(_gradients, model, plain=weigh.scalarise)

    def losses(params: PyTree, part: PyTree) -> LossSums:
        return micro_batches.stacked_of(sums_of(model), params)(part)

    found = {"forward": program(losses, model.params, part, times=used)}
    for name, group in groups(model.params).items():
        found[name] = program(partial(gradients, group), model.params, part, times=used)
    sums, gradient = jax.jit(partial(gradients, group))(model.params, part)
    gradient = jax.tree.unflatten(jax.tree.structure(model.params), gradient)
    state = weigh.method.init(model.params)
    if not weigh.scalarise:
        gradient = fill_rows(gradient, len(sums.count))
        found["weighting"] = program(
            lambda *x: weigh.method.update(*x[:3], losses=x[3]),
            *(gradient, state, model.params, sums.mean()),
        )
        gradient = jax.tree.map(lambda x: x[0], gradient)
    found["optimiser"] = program(partial(_optimise, made), gradient, model.params)
    whole = program(made.trainer.step, made.trainer.state, *jax.device_put(batch))
    # XLA counts a loop over the parts once.
    found["whole step"] = Stage(whole.seconds, used * whole.flops, used * whole.bytes)
    return found


def groups(params: PyTree) -> dict[str, list[bool]]:
    """Which leaves a pass back to a stage reaches; without a decoder there is no stage of it."""
    decoder, heads = [], []
    for path, _ in jax.tree_util.tree_leaves_with_path(params):
        names = [str(entry.key) for entry in path]
        heads.append(names[0] == "heads")
        # The heads of the queries are inside of the decoder.
        decoder.append("decoder" in names and names[names.index("decoder") + 1] != "heads")
    found = {"backward, heads": [x and not y for x, y in zip(heads, decoder, strict=True)]}
    if any(decoder):
        found["backward, decoder"] = heads
    return found | {"backward, encoder": [True] * len(heads)}


def _gradients(
    model: Model, group: Sequence[bool], params: PyTree, part: PyTree, *, plain: bool
) -> tuple[LossSums, PyTree]:
    """Losses, and gradients of some leaves of the parameters: of the sum or of each loss."""
    leaves, structure = jax.tree.flatten(params)

    def of_some(some: Sequence[jax.Array], part: PyTree) -> list[LossSums]:
        given = iter(some)
        every = [next(given) if x else leaf for x, leaf in zip(group, leaves, strict=True)]
        return sums_of(model)(structure.unflatten(every), part)

    some = [leaf for x, leaf in zip(group, leaves, strict=True) if x]
    sums, pull = micro_batches.sums_and_pullback(of_some, some, part)
    cotangents = tuple(micro_batches.cotangents(sums.count))
    return sums, pull(cotangents) if plain else gradients_by_loss(pull, cotangents)


def _optimise(made: Made, gradient: PyTree, params: PyTree) -> PyTree:
    """An update from the moments' start, which costs as much as any other."""
    optimise = made.optimiser(made.steps)
    updates, state = optimise.update(gradient, optimise.init(params), params)
    return optax.apply_updates(params, updates), state


def program(function: Callable[..., Any], *arguments: PyTree, times: int = 1) -> Stage:
    """The function, compiled for these arguments and run that many times."""
    compiled = jax.jit(function).lower(*arguments).compile()
    cost = compiled.cost_analysis()

    work = partial(_repeated, lambda: timed(compiled, *arguments)[0], times)
    return Stage(work, times * cost["flops"], times * cost["bytes accessed"])


def machine_programs() -> dict[str, Stage]:
    """A product of large matrices, and a copy of a large array."""
    drawn = np.random.default_rng(0).standard_normal((MATRIX, MATRIX), np.float32)
    product = program(jnp.matmul, *2 * [jnp.asarray(drawn)])
    return {"product": product, "copy": program(lambda x: x + 1.0, jnp.zeros(ARRAY))}


def differences(measured: dict[str, Stage]) -> dict[str, Stage]:
    """What each program adds to the one before it; weighting and optimiser are apart."""
    found, before = {}, Stage(0.0, 0.0, 0.0)
    for label, stage in measured.items():
        if label in ("weighting", "optimiser"):
            found[label] = stage
            continue
        found[label] = Stage(*(x - y for x, y in zip(stage, before, strict=True)))
        before = stage
    return found


def row(label: str, stage: Stage, total: float, machine: Stage) -> list[Any]:
    """A stage, its share of all stages, and the time that the machine would need at its rates."""
    seconds, flops, size = stage
    by_flops, by_bytes = flops / machine.flops, size / machine.bytes
    limit = "arithmetic" if by_flops > by_bytes else "memory"
    rates = [flops / 1e9, flops / seconds / 1e9, by_flops / seconds]
    moved = [size / 1e6, size / seconds / 1e9, by_bytes / seconds]
    above = seconds / max(by_flops, by_bytes)
    return [label, 1e3 * seconds, seconds / total, *rates, *moved, limit, above]
