"""A kind of task from outside the package: the example of the documentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from network_gradients import CONFIGS

from examples.poisson_task import KINDS
from maskformer_jax.build import build
from maskformer_jax.config import load
from maskformer_jax.data import example
from maskformer_jax.errors import InputError

FILE = CONFIGS.parent / "examples" / "poisson_task.yaml"
HEAVY = [3, 4, 5]


def test_it_is_learnt_beside_the_others():
    model = build(load([f"--config={FILE}", "--model.embed_dim=8"], kinds=KINDS), KINDS)
    assert model.losses == ("jet_class", "heavy_tracks")
    batch, labels = jax.tree.map(jnp.asarray, example(model.schema, 3))
    valid = np.arange(20) < np.array([[4], [0], [2]])
    tracks = batch.streams["tracks"]._replace(valid=jnp.asarray(valid))
    batch = batch._replace(jet_valid=jnp.array([True, True, False]), streams={"tracks": tracks})
    origin = jnp.where(valid, jnp.arange(20) + 2, -1)
    log_mean = jnp.array([[0.5], [-1.0], [9.0]])
    task = model.tasks[1]
    (found,) = task.terms(log_mean, batch, {**labels, "origin": origin})
    number = np.isin(np.asarray(origin), HEAVY).sum(1)[:2]
    assert number.tolist() == [3, 0]
    expected = np.exp([0.5, -1.0]) - number * [0.5, -1.0]
    np.testing.assert_allclose([found.total, found.count], [expected.sum(), 2], rtol=1e-6)
    figures = task.figures(task.count(log_mean, batch, {**labels, "origin": origin}))
    assert list(figures) == ["error/heavy_tracks"]


def test_without_its_table_it_is_unknown():
    with pytest.raises(
        InputError, match=r"`tasks.heavy_tracks.kind` must be one of class.*'poisson'"
    ):
        load([f"--config={FILE}"])
