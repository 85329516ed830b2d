"""Floating-point operations of a training step, as XLA counts them in the program it is given.

Nothing is compiled or timed, so that the numbers are the same on every machine.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree
from numpy.polynomial import Polynomial

from benchmarks import training
from benchmarks.made import Made, Settings, load, sums_of
from benchmarks.tables import Table
from benchmarks.training import EQUAL
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import example
from maskformer_jax.errors import check
from maskformer_jax.gradients import Parts, weighted_gradient
from maskformer_jax.training import method
from maskformer_jax.training.batches import sample_of
from maskformer_jax.training.config import WeightingConfig

# Numbers of constituents at which the arithmetic of a padded jet is counted. Attention and pairs
# make it a parabola; the fourth number checks that.
COUNTED_AT = (1, 8, 20, 40)
LARGEST_ERROR = 0.01
METHODS = ("equal", "cagrad", *(x for x in training.VARIANTS if x.startswith("cagrad")))
HEADS = 8


class Epoch(NamedTuple):
    """An epoch's batches.

    Attributes:
        counts: `[jets]` constituents of every jet.
        used: `[batches]` parts that hold jets.
        part: shapes of (Batch, Labels) of a part.
        layout: usual number of parts, rows of a part, jets and constituents of a row.
    """

    counts: np.ndarray
    used: np.ndarray
    part: PyTree
    layout: str


def of_files(settings: Settings) -> Table:
    """Arithmetic of an epoch's gradients, packed and padded, over that of real constituents."""
    batch_size, rows = settings.batch_size, []
    of_jet = arithmetic_of_jets(settings.config(EQUAL), batch_size)
    for label, file in settings.files.items():
        config = load(settings.model, EQUAL, file=file, batch_size=batch_size)
        epoch = read_epoch(config)
        jets, needed = len(epoch.counts), of_jet(epoch.counts).sum()
        width = int(epoch.layout.split()[-1])
        packed = epoch.used.sum() * _of_gradient(config, epoch.part)
        padded = len(epoch.used) * batch_size * of_jet(width)
        spilled = float((epoch.used > np.median(epoch.used)).mean())
        shares = [packed / needed, padded / needed, spilled]
        about = [label, jets, float(epoch.counts.mean()), int(epoch.counts.max()), epoch.layout]
        rows.append([*about, needed / jets / 1e6, *shares])
    columns = {"file": "", "jets": ",d", "tracks": ".1f", "most": "d"}
    columns |= {"parts x rows x jets x tracks": ""}
    columns |= {"MFLOP of a jet": ".1f", "packed": ".3f", "padded": ".3f", "one part more": ".1%"}
    title = "Arithmetic of an epoch's gradients over that of jets without padding"
    return Table(f"{title}; {settings.model}, batches of {batch_size} jets", columns, rows)


def of_methods(settings: Settings) -> Table:
    """Arithmetic of the update by CAGrad and its cheaper variants over that of a plain one."""
    files = settings.files.values()
    configs = training.configs_of(METHODS, settings.model, next(iter(files)), settings.batch_size)
    epoch, rows = read_epoch(configs["equal"], batches=1), []
    for label, config in configs.items():
        found = of_update(config, epoch)
        plain = rows[0][1] if rows else found
        # Between two renewals of the weights a step costs as much as a plain one.
        every = config.weighting.every
        found = (found + (every - 1) * plain) / every
        rows.append([label, found, found / plain])
    columns = {"method": "", "GFLOP of a step": ".2f", "to equal": ".3f"}
    title = "Arithmetic of an update, without the optimiser"
    return Table(f"{title}; {settings.model}, batches of {settings.batch_size} jets", columns, rows)


def of_networks(settings: Settings) -> Table:
    """Arithmetic of CAGrad's update over that of a plain one, for networks that share otherwise.

    Beside the model they are GN2 and the trunk of the MaskFormer.
    """
    configs = {name: settings._replace(model=name).config() for name in (settings.model, "gn2")}
    trunk = settings._replace(model="maskformer_small").config()
    configs[f"a trunk with {HEADS} heads"] = many_heads(trunk, HEADS)
    rows = []
    for label, config in configs.items():
        weightings = (WeightingConfig(name=name) for name in ("equal", "cagrad"))
        ways = [dataclasses.replace(config, weighting=x) for x in weightings]
        found = [of_update(way, read_epoch(way, batches=1)) for way in ways]
        rows.append([label, len(build(config).losses), *found, found[1] / found[0]])
    columns = {"network": "", "losses": "d", "equal, GFLOP": ".2f", "cagrad, GFLOP": ".2f"}
    columns["cagrad, to equal"] = ".3f"
    title = "Arithmetic of an update by the gradients of all losses, without the optimiser"
    return Table(f"{title}; batches of {settings.batch_size} jets", columns, rows)


def many_heads(config: Config, number: int) -> Config:
    """The trunk of a model with so many classifications: its own, again and again."""
    own = [x for x in config.tasks.items() if x[1].kind == "classification"]
    turns = [(*own[index % len(own)], index // len(own)) for index in range(number)]
    return dataclasses.replace(
        config, tasks={f"{name}_{turn}": options for name, options, turn in turns}
    )


def arithmetic_of_jets(config: Config, batch_size: int) -> Callable[[Any], Any]:
    """Operations of a jet's gradient as a function of its number of constituents.

    Raises:
        InputError: the model has not one stream.
        RuntimeError: they are no parabola within `LARGEST_ERROR`.
    """
    found = []
    for number in COUNTED_AT:
        short = capped(config, number)
        part = example(build(short).schema, batch_size)
        found.append(_of_gradient(short, part) / batch_size)
    fitted = Polynomial.fit(COUNTED_AT, found, 2)
    if np.abs(fitted(np.array(COUNTED_AT)) / found - 1).max() > LARGEST_ERROR:
        raise RuntimeError(f"the arithmetic of jets of {COUNTED_AT} tracks is no parabola: {found}")
    return fitted


def capped(config: Config, cap: int) -> Config:
    """The configuration with no more than so many constituents of a jet.

    Raises:
        InputError: the model has not one stream.
    """
    streams = config.data.streams
    check(len(streams) == 1, "--model", "have one stream of constituents", len(streams))
    streams = {k: dataclasses.replace(x, cap=cap) for k, x in streams.items()}
    return dataclasses.replace(config, data=dataclasses.replace(config.data, streams=streams))


def read_epoch(config: Config, batches: int | None = None) -> Epoch:
    """What is in the batches of the first epoch, or in the first of them."""
    made = Made(config)
    loader = made.loader
    counts, used = [], []
    for pair in made.batches(batches or loader.steps_per_epoch):
        batch = pair[0]
        of_streams = [stream.valid.sum(-1) for stream in batch.streams.values()]
        counts.append(sum(of_streams, np.zeros(batch.jet_valid.shape, int))[batch.jet_valid])
        used.append(batch.jet_valid.any(axis=1).sum())
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), pair)
    layout, width = loader.layout, sum(loader.layout.widths.values())
    text = f"{np.median(used):.0f} x {layout.rows} x {layout.jets} x {width}"
    return Epoch(np.concatenate(counts), np.array(used), shapes, text)


def count(function: Callable[..., Any], *arguments: PyTree) -> float:
    """Floating-point operations of a function of arrays, or of their shapes."""
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def _of_gradient(config: Config, part: PyTree) -> float:
    """Of the gradient of the sum of all losses."""
    model = build(config)

    def loss(params: PyTree, part: PyTree) -> jax.Array:
        return sum(sums.mean() for sums in sums_of(model)(params, part))

    return count(jax.grad(loss), model.params, part)


def of_update(config: Config, epoch: Epoch) -> float:
    """Of losses, gradients and their combination, on the first batch, in 10^9."""
    model = build(config)
    weighting = method.build(config, model, optax.sgd(1.0), 1)
    # A step in which weights are renewed.
    cheaper = weighting.cheaper and weighting.cheaper._replace(every=1)
    weighting = weighting._replace(cheaper=cheaper)

    def update(params: PyTree, state: PyTree, part: PyTree) -> PyTree:
        batch, labels = jax.tree.map(lambda x: x[None], part)
        parts = Parts((batch, labels), jnp.array(1))
        sample = sample_of(batch, labels, cheaper.fraction) if cheaper else None
        return weighted_gradient(sums_of(model), params, weighting, state, parts, sample=sample)

    state = weighting.method.init(model.params)
    return count(update, model.params, state, epoch.part) * float(epoch.used[0]) / 1e9
