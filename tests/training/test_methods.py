"""Trainings with methods that keep keys, learnt weights, or need more than one pass or batch."""

import itertools
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import SAMPLE, Training

from maskformer_jax import config as configuration
from maskformer_jax import tasks
from maskformer_jax.errors import InputError
from maskformer_jax.model import maskformer
from maskformer_jax.tasks import TASK_NAMES
from maskformer_jax.training import loop

OVERLAYS = SAMPLE.parents[1] / "configs" / "weighting"
METHODS = {
    "gradvac": ["--training.micro_batches=2"],  # keys, targets of cosines
    "famo": [],  # learnt weights, a second forward pass
    "gradnorm": ["--training.backward=map"],  # learnt weights, norms in one layer
    "modo": [],  # two batches
}


def options(name):
    return ["--config", str(OVERLAYS / f"{name}.yaml"), *METHODS.get(name, [])]


@pytest.fixture(scope="module", params=METHODS)
def other(request, argv, tmp_path_factory):
    """A training with the method, and its run without interruption."""
    run = tmp_path_factory.mktemp(request.param)
    training = Training(configuration.load(argv(run, *options(request.param))))
    assert training.train(run).finished
    return training, run


def test_a_stopped_and_resumed_run_ends_bit_for_bit_the_same(other, tmp_path):
    training, uninterrupted = other

    def send_signal(step, batch):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    assert not training.train(tmp_path, tamper=send_signal).finished
    assert training.train(tmp_path, resume=True).finished
    found, expected = training.final(tmp_path), training.final(uninterrupted)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert training.log(tmp_path) == training.log(uninterrupted)


def test_weights_move_and_the_log_shows_what_there_is_to_see(other):
    training, run = other
    log = [line for line in training.log(run) if "gradient_norm" in line]
    weights = np.array([[line[f"weight/{task}"] for task in TASK_NAMES] for line in log])
    assert np.isfinite(weights).all() and (weights[1:] != weights[:-1]).any()
    pairs = [f"cosine/{a}/{b}" for a, b in itertools.combinations(TASK_NAMES, 2)]
    seen = [f"gradient_norm/{task}" for task in TASK_NAMES] + pairs
    on_gradients = training.config.weighting.name != "famo"
    assert all((name in line) == on_gradients for line in log for name in seen)
    assert all(-1.001 <= line[pair] <= 1.001 for line in log for pair in pairs if on_gradients)


def test_norms_and_angles_are_those_of_the_gradients_over_shared_parameters(argv, tmp_path):
    """The encoder's, computed one task after the other."""
    arguments = argv(tmp_path, *options("pcgrad"), "--weighting.shared=encoder")
    training = Training(configuration.load([*arguments, "--training.epochs=1"]))
    config = training.config
    batch = jax.tree.map(jnp.asarray, next(training.loader.iterator()))
    apply, params = maskformer.build(config, config.training.seed)
    terms = tasks.build_terms(config)

    @jax.jit
    def rows(params):
        losses = lambda p: [term.mean() for term in terms(apply(p, batch[0]), *batch)]  # noqa: E731
        return jax.jacrev(lambda p: jnp.stack(losses(p)))(params)

    found = rows(params)
    encoder = [found[name] for name in ("embedding", "encoder", "encoder_norm")]
    matrix = np.concatenate(
        [np.asarray(leaf).reshape(6, -1) for leaf in jax.tree.leaves(encoder)], axis=1
    )
    training.train(tmp_path)
    first = training.log(tmp_path)[0]
    norms = np.linalg.norm(matrix, axis=1)
    for task, norm in zip(TASK_NAMES, norms, strict=True):
        assert first[f"gradient_norm/{task}"] == pytest.approx(norm, rel=1e-3)
    for (i, a), (j, b) in itertools.combinations(enumerate(TASK_NAMES), 2):
        cosine = matrix[i] @ matrix[j] / norms[i] / norms[j]
        assert first[f"cosine/{a}/{b}"] == pytest.approx(cosine, abs=1e-3)


WRONG = [
    (["--weighting.name=magic"], r"`weighting.name` must be one of equal, static, .*magic"),
    (["--weighting.name=cagrad", "--weighting.options.c=-1"], r"options` of cagrad: `c` must"),
    (["--weighting.name=cagrad", "--weighting.options.speed=1"], r"of cagrad: .*speed"),
    (
        ["--weighting.name=mgda", "--weighting.options.granularity=atom"],
        r"of mgda: `granularity` must be one of .*'module'.*'atom'",
    ),
    (["--weighting.name=uw", "--weighting.options.optimiser=adam"], r"of uw: `optimiser` must"),
    (
        ["--weighting.name=modo", "--training.batch_size=25"],
        r"`training.batch_size` must be a multiple of 2, since modo needs .*got 25",
    ),
]


@pytest.mark.parametrize(("more", "message"), WRONG, ids=lambda x: str(x))
def test_wrong_weightings_are_refused_before_anything_is_compiled(argv, tmp_path, more, message):
    config = configuration.load(argv(tmp_path / "run", *more))
    with pytest.raises(InputError, match=message):
        loop.build(config, 8)
