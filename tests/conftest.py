"""Settings that JAX and the package must meet before their import; a tiny network and its batch."""

import contextlib
import gc
import os
import resource
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

# Four devices for the tests of sharding, bfloat16 that is rounded wherever it is written, and
# compilations that cost less time and memory: what runs a few times is not worth optimising.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=4 --xla_allow_excess_precision=false"
    + " --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)
# Newer ones end the process at a flag that they don't know.
if version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
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
CHECKED = ("model", "gradients.entry", "gradients.micro_batches", "tasks")
CHECKED += tuple(f"training.{name}" for name in ("step", "validation"))
# Not the walk through equations, whose values are marks or what is not computed, too.
WEIGHTING = (Path(__file__).parents[1] / "maskformer_jax" / "weighting").glob("*.py")
CHECKED += tuple(f"weighting.{path.stem}" for path in WEIGHTING if path.stem != "reverse_pass")
# Integers may stand for floats.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook([f"maskformer_jax.{name}" for name in CHECKED], CHECKER)

from network_gradients import CONFIGS, LossGradients, gradients_of  # noqa: E402

from maskformer_jax import config as configuration  # noqa: E402
from maskformer_jax.build import Model, build  # noqa: E402
from maskformer_jax.model.decoder import Decoded  # noqa: E402
from maskformer_jax.types import Batch, Labels, ObjectLabels, Objects, Stream  # noqa: E402

# Tracing makes millions of objects that live long.
gc.set_threshold(10_000, 20, 20)
JETS, TRACKS, OBJECTS = 5, 7, 3


def pytest_collection_finish():
    """What is there by now stays: the garbage collector needn't look at it again and again."""
    gc.collect()
    gc.freeze()


# A MaskFormer that compiles in seconds; the track cap differs from every axis length.
TINY = (
    f"--config={CONFIGS / 'maskformer.yaml'}",
    "--data.streams.tracks.inputs=[qOverP, d0, z0SinTheta, deta, dphi]",
    "--data.streams.tracks.cap=11",
    f"--data.objects.hadrons.cap={OBJECTS}",
    "--model.embed_dim=16",
    "--model.num_heads=2",
    "--model.head_widths=[16]",
    "--model.encoder.layers=1",
    "--tasks.hadrons.decoder_layers=1",
    f"--tasks.hadrons.queries={OBJECTS}",
    "--training.seed=1",
)


@pytest.fixture(scope="session")
def tiny_with():
    """The tiny configuration with overrides: `tiny_with("--model.dropout=0.5")`."""
    return lambda *overrides: configuration.load([*TINY, *overrides])


@pytest.fixture(scope="session")
def tiny_config(tiny_with):
    """Jet class, track origin and hadrons."""
    return tiny_with()


def batch_of(config: configuration.Config, seed: int = 0) -> tuple[Batch, Labels]:
    """Five jets: full, with one track, with none, without hadrons, and padding.

    The full jet has a b hadron with three tracks, a c hadron with two, a c hadron whose mask is
    empty, and a track without label. The jet without tracks has a hadron all the same.
    """
    generator = np.random.default_rng(seed)
    data, losses = config.data, config.tasks["hadrons"].losses
    num_tracks = np.array([TRACKS, 1, 0, 4, 0])
    valid = np.arange(TRACKS) < num_tracks[:, None]
    jet_valid = np.arange(JETS) < 4
    tracks = generator.normal(size=(JETS, TRACKS, len(data.streams["tracks"].inputs)))
    jets = generator.normal(size=(JETS, len(data.jets.inputs)))
    origin = generator.integers(0, len(data.labels["origin"].classes), (JETS, TRACKS))
    origin[0, -1] = -1
    hadrons = np.array([3, 1, 1, 0, 0])
    real = np.arange(OBJECTS) < hadrons[:, None]
    masks = np.zeros((JETS, OBJECTS, TRACKS), bool)
    masks[0, 0, [0, 2, 5]] = masks[0, 1, [1, 3]] = masks[1, 0, 0] = True
    regression = generator.normal(size=(JETS, OBJECTS, len(losses.regression.targets)))
    batch = Batch(
        jets=jnp.asarray(np.where(jet_valid[:, None], jets, 0.0), jnp.float32),
        jet_valid=jnp.asarray(jet_valid),
        streams={
            "tracks": Stream(
                jnp.asarray(np.where(valid[..., None], tracks, 0.0), jnp.float32),
                jnp.asarray(valid),
            )
        },
        pairs={},
    )
    labels = {
        "flavour": jnp.asarray(np.array([0, 1, 0, 2, -1], np.int32)),
        "origin": jnp.asarray(np.where(valid, origin, -1), jnp.int32),
        "hadrons": ObjectLabels(jnp.asarray(real), jnp.asarray(masks)),
        "hadron_class": jnp.asarray(np.where(real, [0, 1, 1], 2), jnp.int32),
        "hadrons.regression": jnp.asarray(np.where(real[..., None], regression, 0.0), jnp.float32),
    }
    return batch, labels


@pytest.fixture(scope="session")
def make_batch(tiny_config):
    """`make_batch(seed)`: the awkward jets, as (Batch, Labels)."""
    return lambda seed=0: batch_of(tiny_config, seed)


@pytest.fixture(scope="session")
def make_outputs():
    """`make_outputs(seed)`: random predictions for the batch, `layers` intermediate ones too."""

    def make(seed=0, layers=0, queries=OBJECTS):
        generator = np.random.default_rng(100 + seed)

        def random(*shape):
            return jnp.asarray(2 * generator.normal(size=(JETS, *shape)), jnp.float32)

        def objects():
            return Objects(random(queries, 3), random(queries, TRACKS), random(queries, 5))

        jets, tracks, last = random(3), random(TRACKS, 8), objects()
        layers = tuple(objects() for _ in range(layers))
        decoded = Decoded(last, layers, random(queries, 16))
        return {"jet_class": jets, "track_origin": tracks, "hadrons": decoded}

    return make


class Tiny(NamedTuple):
    """The tiny network, compiled once for the session; it has dropout, which needs a key to act.

    Attributes:
        model: network and losses.
        apply: `apply(params, batch, key=None)`, jitted.
        params: initial parameters.
        gradients: `gradients(params, batch, labels) -> LossGradients`, jitted.
    """

    model: Model
    apply: Callable[..., Any]
    params: Any
    gradients: Callable[..., LossGradients]


@pytest.fixture(scope="session")
def tiny(tiny_with) -> Tiny:
    model = build(tiny_with("--model.dropout=0.5"))
    return Tiny(model, jax.jit(model.apply), model.params, gradients_of(model))


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond 4 kB."""

    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
