"""The loop: learning, exact resumption, signals, and what it does when something goes wrong."""

import contextlib
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.errors import InputError
from maskformer_jax.gradients import LossSums
from maskformer_jax.training import loop, validation
from maskformer_jax.training.logging import MetricsLog
from maskformer_jax.training.progress import Dispatched, ProgressBar, Reporter

STEPS = 8  # two epochs of 70 jets in batches of 20


def assert_identical(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def uninterrupted(training, tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted")
    assert training.train(run) == (True, 0, STEPS)
    return run


def test_the_log_holds_every_step_and_every_validation(training, uninterrupted):
    log = training.log(uninterrupted)
    assert [line["step"] for line in log] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    for task in training.model.losses:
        assert all(f"loss/{task}" in line or f"val/loss/{task}" in line for line in log)
    assert log[0]["weight/mask_ce"] == 10.0
    total = sum(log[0][f"weight/{task}"] * log[0][f"loss/{task}"] for task in training.model.losses)
    assert log[0]["loss/total"] == pytest.approx(total, rel=1e-5)
    assert any((uninterrupted / "tensorboard").iterdir())


def test_one_batch_is_overfitted(training):
    batch, labels = next(training.loader.iterator())
    state = jax.device_put(jax.tree.map(np.array, training.trainer.state))
    losses = []
    for _ in range(80):
        state, metrics = training.trainer.step(state, batch, labels)
        losses.append(metrics.losses)
        state = state._replace(
            # Keep the counts of the schedule at its peak; moments are floats.
            optimiser_state=jax.tree.map(
                lambda x: jnp.ones_like(x) if x.dtype == jnp.int32 else x, state.optimiser_state
            )
        )
    assert np.all(np.asarray(losses[-1]) < 0.6 * np.asarray(losses[0]))


def test_a_loss_that_nothing_was_counted_for_is_not_logged(training, tmp_path):
    batch, labels = next(training.loader.iterator())
    labels = labels | {"hadrons": jax.tree.map(np.zeros_like, labels["hadrons"])}
    state = jax.device_put(jax.tree.map(np.array, training.trainer.state))
    state, metrics = training.trainer.step(state, batch, labels)
    with ProgressBar(20, 0) as bar, contextlib.closing(MetricsLog(tmp_path, 0)) as log:
        report = Reporter(tmp_path, log, bar, 1, training.trainer)
        report.dispatched(Dispatched(1, metrics, batch, labels, 20), state.params)
        report.flush(state.params)
    [line] = training.log(tmp_path)
    absent = {name for name in training.model.losses if f"loss/{name}" not in line}
    assert absent == {"mask_ce", "mask_dice", "regression"} and line["loss/total"] > 0


def test_a_run_that_is_stopped_and_resumed_twice_ends_bit_for_bit_the_same(
    training, uninterrupted, tmp_path
):
    """Before the first checkpoint and after it."""
    for turn, number in enumerate((signal.SIGTERM, signal.SIGINT)):

        def send_signal(step, batch, number=number):
            if step == 3:
                os.kill(os.getpid(), number)
            return batch

        found = training.train(tmp_path, tamper=send_signal, resume=turn > 0)
        assert found == (False, number, 3 * (turn + 1))
    assert training.train(tmp_path, resume=True) == (True, 0, STEPS)
    assert_identical(training.final(tmp_path), training.final(uninterrupted))
    assert training.log(tmp_path) == training.log(uninterrupted)


def test_a_bad_row_in_the_middle_loses_nothing(training, uninterrupted, tmp_path):
    def refuse(step, batch):
        if step == 6:
            raise InputError("row 51 is bad")
        return batch

    with pytest.raises(InputError, match="row 51"):
        training.train(tmp_path, tamper=refuse)
    assert int(training.final(tmp_path).state.step) == 5
    assert training.log(tmp_path)[-1]["step"] == 5


def test_a_bad_row_in_the_validation_file_loses_nothing(training, tmp_path, monkeypatch):
    def refuse():
        raise InputError("row 7 is bad")

    monkeypatch.setattr(training, "validation", refuse)
    with pytest.raises(InputError, match="row 7"):
        training.train(tmp_path)
    assert int(training.final(tmp_path).state.step) == 4


def test_a_validation_that_is_not_finite_is_an_event(training, tmp_path, monkeypatch, capsys):
    """It is said at once and at the end, after a resumption too; the last epoch is good."""
    good, turns = training.validation, []

    def poisoned():
        turns.append(None)
        for batch, labels in good():
            yield batch._replace(jets=batch.jets * (np.nan if len(turns) == 1 else 1.0)), labels

    def stop(step, batch):
        if step == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch

    monkeypatch.setattr(training, "validation", poisoned)
    assert training.train(tmp_path, tamper=stop) == (False, signal.SIGTERM, 6)
    assert "not finite after epoch 1, and not logged: val/loss/jet_class" in capsys.readouterr().err
    with pytest.raises(FloatingPointError, match=r"validation was not finite after epoch 1$"):
        training.train(tmp_path, resume=True)
    logged = {line["step"]: set(line) for line in training.log(tmp_path) if "epoch" in line}
    assert "val/loss/jet_class" in logged[8] - logged[4]
    assert training.final(tmp_path).progress.best_step == 8


def test_the_first_nonfinite_loss_names_task_and_step_and_saves_the_batch(training, tmp_path):
    def poison(step, batch):
        return batch._replace(jets=batch.jets * np.nan) if step == 6 else batch

    with pytest.raises(FloatingPointError, match=r"loss of jet_class, .* at step 6; .*\.npz"):
        training.train(tmp_path, tamper=poison)
    saved = np.load(tmp_path / "nonfinite_batch.npz")
    assert np.isnan(saved["jets"]).all()
    assert saved["hadrons.masks"].shape == (1, 20, 5, 8)
    assert saved["streams.tracks.values"].shape == (1, 20, 8, 19)
    assert int(training.final(tmp_path).state.step) == 4


def test_a_nonfinite_gradient_is_traced_to_its_tasks(training):
    """Of six finite losses on one trunk; the slopes of two are infinite, at the root of zero."""
    batch, labels = next(training.loader.iterator())

    def terms(outputs, batch, labels):
        losses = [
            outputs,
            jnp.sqrt(outputs * 0),
            outputs**2,
            outputs,
            jnp.sqrt(outputs - 1),
            outputs,
        ]
        return [LossSums(loss, 1.0) for loss in losses]

    model = training.model._replace(apply=lambda params, batch: params["trunk"], terms=terms)
    trainer = loop.build(training.config, model, STEPS)
    found = trainer.nonfinite_losses({"trunk": jnp.array(1.0)}, batch, labels)
    assert found == [training.model.losses[number] for number in (1, 4)]


def test_the_best_checkpoint_follows_the_monitor(training, tmp_path):
    accuracy = "val/accuracy/jet_class"
    training.train(tmp_path, monitor=accuracy, epochs=3)
    values = {line["step"]: line[accuracy] for line in training.log(tmp_path) if accuracy in line}
    best = [int(path.name) for path in (tmp_path / "checkpoints" / "best").iterdir()]
    assert len(best) == 1
    assert values[best[0]] == max(values.values())


@pytest.mark.parametrize(
    ("monitor", "value", "best", "expected"),
    [
        ("val/loss/jet_class", 1.0, None, True),
        ("val/loss/jet_class", 1.0, 2.0, True),
        ("val/loss/jet_class", 2.0, 1.0, False),
        ("val/purity/hadrons", 2.0, 1.0, True),
        ("val/error/mass/pt", 2.0, 1.0, False),
        ("val/purity/hadrons", np.nan, None, False),
        ("val/purity/hadrons", np.nan, 0.1, False),
    ],
)
def test_what_is_better(monitor, value, best, expected):
    assert validation.is_better(monitor, value, best) is expected


def test_an_unknown_monitor_is_refused(training, argv, tmp_path):
    for given, near in (("loss/jet", "loss/jet_class"), ("acuracy/jet", "accuracy/jet_class")):
        config = configuration.load(argv(tmp_path, f"--training.monitor=val/{given}"))
        with pytest.raises(InputError, match=f"did you mean `val/{near}`"):
            loop.build(config, training.model, STEPS)
