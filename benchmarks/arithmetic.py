"""Floating-point operations of a training step, as XLA counts them in the program it is given.

Nothing is compiled or timed, so that the numbers are the same on every machine.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree
from numpy.polynomial import Polynomial

from benchmarks import training
from benchmarks.fresh import batches_of, loader_of
from benchmarks.tables import Table
from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.config import Config
from maskformer_jax.gradients import LossSums, Parts, SumsOf, weighted_gradient
from maskformer_jax.model import maskformer
from maskformer_jax.training import method
from maskformer_jax.training.batches import sample_of

EQUAL = "--config=configs/weighting/equal.yaml"
# Numbers of tracks at which the arithmetic of a padded jet is counted. Attention makes it a
# parabola; the fourth number checks that.
COUNTED_AT = (1, 8, 20, 40)
LARGEST_ERROR = 0.01
METHODS = ("equal", "cagrad", *(x for x in training.VARIANTS if x.startswith("cagrad")))


class Network(NamedTuple):
    """A network and its losses.

    Attributes:
        apply: `apply(params, batch) -> Outputs`.
        terms: `terms(outputs, batch, targets)`, the losses one by one.
        params: initial parameters.
        sums_of: `sums_of(params, (batch, targets))`, both together.
    """

    apply: maskformer.Apply
    terms: Callable[..., list[LossSums]]
    params: PyTree
    sums_of: SumsOf


class Epoch(NamedTuple):
    """An epoch's batches.

    Attributes:
        counts: `[jets]` tracks of every jet.
        used: `[batches]` parts that hold jets.
        part: shapes of (Batch, Targets) of a part.
        layout: usual number of parts, rows of a part, jets and tracks of a row.
    """

    counts: np.ndarray
    used: np.ndarray
    part: PyTree
    layout: str


def of_files(config: str, files: dict[str, str], batch_size: int) -> Table:
    """Arithmetic of an epoch's gradients, packed and padded, over that of the real tracks.

    Args:
        config: YAML file of the network.
        files: label -> training file in the default layout.
        batch_size: jets of a batch.
    """
    options = [f"--config={config}", EQUAL, f"--training.batch_size={batch_size}"]
    of_jet = arithmetic_of_jets(configuration.load(options), batch_size)
    rows = []
    for label, file in files.items():
        loaded = configuration.load([*options, f"--data.train_file={file}"])
        epoch = read_epoch(loaded)
        jets, needed = len(epoch.counts), of_jet(epoch.counts).sum()
        width = epoch.part[0].valid.shape[-1]
        packed = epoch.used.sum() * _of_gradient(loaded, epoch.part)
        padded = len(epoch.used) * batch_size * of_jet(width)
        spilled = float((epoch.used > np.median(epoch.used)).mean())
        shares = [packed / needed, padded / needed, spilled]
        about = [label, jets, float(epoch.counts.mean()), int(epoch.counts.max()), epoch.layout]
        rows.append([*about, needed / jets / 1e6, *shares])
    columns = {
        "file": "",
        "jets": ",d",
        "tracks": ".1f",
        "most": "d",
        "parts x rows x jets x tracks": "",
    }
    columns |= {"MFLOP of a jet": ".1f", "packed": ".3f", "padded": ".3f", "one part more": ".1%"}
    title = "Arithmetic of an epoch's gradients over that of jets without padding"
    return Table(f"{title}; {config}, batches of {batch_size} jets", columns, rows)


def of_methods(config: str, file: str, batch_size: int) -> Table:
    """Arithmetic of the update by CAGrad and its cheaper variants over that of a plain one.

    Args:
        config: YAML file of the network.
        file: training file in the default layout.
        batch_size: jets of a batch.
    """
    options = [f"--config={config}", f"--data.train_file={file}"]
    configs = training.configs_of(METHODS, [*options, f"--training.batch_size={batch_size}"])
    epoch = read_epoch(configs["equal"], batches=1)
    rows = []
    for label, loaded in configs.items():
        found = of_update(loaded, epoch.part) * float(epoch.used[0])
        plain = rows[0][1] * 1e9 if rows else found
        # Between two renewals of the weights a step costs as much as a plain one.
        every = loaded.weighting.every
        found = (found + (every - 1) * plain) / every
        rows.append([label, found / 1e9, found / plain])
    columns = {"method": "", "GFLOP of a step": ".2f", "to equal": ".3f"}
    title = "Arithmetic of an update, without the optimiser"
    return Table(f"{title}; {config}, batches of {batch_size} jets", columns, rows)


def arithmetic_of_jets(config: Config, batch_size: int) -> Callable[[Any], Any]:
    """Floating-point operations of a jet's gradient as a function of its number of tracks.

    Raises:
        RuntimeError: they are no parabola.
    """
    found = []
    for tracks in COUNTED_AT:
        data = dataclasses.replace(
            config.data, tracks=dataclasses.replace(config.data.tracks, cap=tracks)
        )
        short = dataclasses.replace(config, data=data)
        found.append(_of_gradient(short, tasks.batch_shapes(short, batch_size)) / batch_size)
    return parabola(COUNTED_AT, found)


def parabola(tracks: Sequence[int], found: Sequence[float]) -> Polynomial:
    """The parabola through these points.

    Raises:
        RuntimeError: there is none within `LARGEST_ERROR`.
    """
    fitted = Polynomial.fit(tracks, found, 2)
    if np.abs(fitted(np.array(tracks)) / found - 1).max() > LARGEST_ERROR:
        raise RuntimeError(f"the arithmetic of jets of {tracks} tracks is no parabola: {found}")
    return fitted


def read_epoch(config: Config, batches: int | None = None) -> Epoch:
    """What is in the batches of the first epoch, or in the first of them."""
    loader = loader_of(config)
    counts, used = [], []
    for pair in batches_of(loader, batches or loader.steps_per_epoch):
        batch = pair[0]
        counts.append(batch.valid.sum(-1)[batch.jet_valid])
        used.append(batch.jet_valid.any(axis=1).sum())
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), pair)
    _, rows, width, _ = batch.tracks.shape
    layout = f"{np.median(used):.0f} x {rows} x {batch.jet_valid.shape[1] // rows} x {width}"
    return Epoch(np.concatenate(counts), np.array(used), shapes, layout)


def count(function: Callable[..., Any], *arguments: PyTree) -> float:
    """Floating-point operations of a function of arrays, or of their shapes."""
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def _of_gradient(config: Config, part: PyTree) -> float:
    """Of the gradient of the sum of all losses."""
    made = network(config)

    def loss(params: PyTree, part: PyTree) -> jax.Array:
        return sum(sums.mean() for sums in made.sums_of(params, part))

    return count(jax.grad(loss), made.params, part)


def of_update(config: Config, part: PyTree) -> float:
    """Of losses, gradients and their combination, on a batch of one part."""
    made = network(config)
    weighting = method.build(config, made.apply, made.params, made.terms, optax.sgd(1.0), 1)
    # A step in which weights are renewed.
    cheaper = weighting.cheaper and weighting.cheaper._replace(every=1)
    weighting = weighting._replace(cheaper=cheaper)

    def update(params: PyTree, state: PyTree, part: PyTree) -> PyTree:
        batch, targets = jax.tree.map(lambda x: x[None], part)
        parts = Parts((batch, targets), jnp.array(1))
        sample = sample_of(batch, targets, cheaper.fraction) if cheaper else None
        return weighted_gradient(made.sums_of, params, weighting, state, parts, sample=sample)

    return count(update, made.params, weighting.method.init(made.params), part)


def network(config: Config) -> Network:
    """The network that the configuration describes."""
    apply, params = maskformer.build(config, seed=0)
    terms = tasks.build_terms(config)

    def sums_of(params: PyTree, part: PyTree) -> list[LossSums]:
        batch, targets, *_ = part
        return terms(apply(params, batch), batch, targets)

    return Network(apply, terms, params, sums_of)
