"""Settings that JAX and the package must meet before their import; a tiny network and its batch."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# Four devices for the tests of sharding, bfloat16 that is rounded wherever it is written, and
# compilations that cost less time and memory: what runs a few times is not worth optimising.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=4 --xla_allow_excess_precision=false"
    + " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    + " --xla_cpu_parallel_codegen_split_count=1"
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maskformer_jax_tests"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import install_import_hook

# Annotated shapes and types of everything that computes with JAX are checked when a function is
# traced; in the tests only, so that nobody pays for it in training.
CHECKED = (
    "model",
    "matching",
    "losses",
    "gradients.entry",
    "gradients.micro_batches",
    "tasks",
    "weighting",
)
CHECKED += tuple(f"training.{name}" for name in ("step", "validation"))
# Integers may stand for floats.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook([f"maskformer_jax.{name}" for name in CHECKED], CHECKER)

from maskformer_jax import config as configuration  # noqa: E402
from maskformer_jax.model import maskformer  # noqa: E402
from maskformer_jax.tasks import TASK_NAMES, build_losses  # noqa: E402
from maskformer_jax.types import Batch, Objects, Outputs, Targets  # noqa: E402

JETS, TRACKS, OBJECTS = 5, 7, 3


@pytest.fixture(scope="session")
def tiny_config():
    """A network that compiles in seconds; the track cap differs from every axis length."""
    return configuration.Config(
        data=configuration.DataConfig(
            tracks=configuration.TracksConfig(
                inputs=["qOverP", "d0", "z0SinTheta", "deta", "dphi"], cap=11
            ),
            hadrons=configuration.HadronsConfig(cap=OBJECTS),
        ),
        model=configuration.ModelConfig(
            embed_dim=16, num_heads=2, head_widths=[16], encoder_layers=2, decoder_layers=2
        ),
    )


@pytest.fixture(scope="session")
def with_options():
    """A config with other fields in its sections: `with_options(c, loss={"auxiliary": True})`."""

    def replaced(config, **sections):
        parts = {k: dataclasses.replace(getattr(config, k), **v) for k, v in sections.items()}
        return dataclasses.replace(config, **parts)

    return replaced


def batch_of(config: configuration.Config, seed: int = 0) -> tuple[Batch, Targets]:
    """Five jets: full, with one track, with none, without hadrons, and padding.

    The full jet has a b hadron with three tracks, a c hadron with two, a c hadron whose mask is
    empty, and a track without label. The jet without tracks has a hadron all the same.
    """
    generator = np.random.default_rng(seed)
    data = config.data
    num_tracks = np.array([TRACKS, 1, 0, 4, 0])
    valid = np.arange(TRACKS) < num_tracks[:, None]
    jet_valid = np.arange(JETS) < 4
    tracks = generator.normal(size=(JETS, TRACKS, len(data.tracks.inputs)))
    jets = generator.normal(size=(JETS, len(data.jets.inputs)))
    origin = generator.integers(0, len(data.tracks.origin_classes), (JETS, TRACKS))
    origin[0, -1] = -1
    hadrons = np.array([3, 1, 1, 0, 0])
    real = np.arange(OBJECTS) < hadrons[:, None]
    masks = np.zeros((JETS, OBJECTS, TRACKS), bool)
    masks[0, 0, [0, 2, 5]] = masks[0, 1, [1, 3]] = masks[1, 0, 0] = True
    regression = generator.normal(size=(JETS, OBJECTS, len(data.hadrons.targets)))
    batch = Batch(
        jets=jnp.asarray(np.where(jet_valid[:, None], jets, 0.0), jnp.float32),
        tracks=jnp.asarray(np.where(valid[..., None], tracks, 0.0), jnp.float32),
        valid=jnp.asarray(valid),
        jet_valid=jnp.asarray(jet_valid),
    )
    targets = Targets(
        jet_class_index=jnp.asarray(np.array([0, 1, 0, 2, -1], np.int32)),
        origin_index=jnp.asarray(np.where(valid, origin, -1), jnp.int32),
        object_class_index=jnp.asarray(np.where(real, [0, 1, 1], 2), jnp.int32),
        object_valid=jnp.asarray(real),
        masks=jnp.asarray(masks),
        regression=jnp.asarray(np.where(real[..., None], regression, 0.0), jnp.float32),
    )
    return batch, targets


@pytest.fixture(scope="session")
def make_batch(tiny_config):
    """`make_batch(seed)`: the awkward jets, as (Batch, Targets)."""
    return lambda seed=0: batch_of(tiny_config, seed)


@pytest.fixture(scope="session")
def make_outputs(tiny_config):
    """`make_outputs(seed)`: random predictions for the batch, with `layers` intermediate ones."""
    data = tiny_config.data

    def make(seed=0, layers=0) -> Outputs:
        generator = np.random.default_rng(100 + seed)

        def random(*shape):
            return jnp.asarray(2 * generator.normal(size=(JETS, *shape)), jnp.float32)

        def objects():
            return Objects(
                class_logits=random(OBJECTS, len(data.hadrons.classes) + 1),
                mask_logits=random(OBJECTS, TRACKS),
                regression=random(OBJECTS, len(data.hadrons.targets)),
            )

        return Outputs(
            jet_class_logits=random(len(data.jets.classes)),
            origin_logits=random(TRACKS, len(data.tracks.origin_classes)),
            objects=objects(),
            intermediate=tuple(objects() for _ in range(layers)),
        )

    return make


class TaskGradients(NamedTuple):
    """Losses of the tiny network and their derivatives, with the task axis in front."""

    losses: jax.Array
    params: Any
    jets: jax.Array
    tracks: jax.Array


class Tiny(NamedTuple):
    """The tiny network, compiled once for the session; it has dropout, which needs a key to act.

    Attributes:
        apply: `apply(params, batch, key=None) -> Outputs`, jitted.
        params: initial parameters.
        gradients: `gradients(params, batch, targets) -> TaskGradients`, jitted.
    """

    apply: Callable[..., Outputs]
    params: Any
    gradients: Callable[..., TaskGradients]


@pytest.fixture(scope="session")
def tiny(tiny_config, with_options) -> Tiny:
    apply, params = maskformer.build(with_options(tiny_config, model={"dropout": 0.5}), seed=1)
    loss_sums = build_losses(tiny_config)

    @jax.jit
    def gradients(params, batch, targets):
        def losses_of(params, jets, tracks):
            moved = batch._replace(jets=jets, tracks=tracks)
            return loss_sums(apply(params, moved), moved, targets).mean()

        losses, pullback = jax.vjp(losses_of, params, batch.jets, batch.tracks)
        return TaskGradients(losses, *jax.vmap(pullback)(jnp.eye(len(TASK_NAMES))))

    return Tiny(jax.jit(apply), params, gradients)
