"""A few trials of every kind of the campaign: all hold."""

import pytest
from campaign import run

# One of a training that is killed once, in its fifth checkpoint.
SEED = 69
# Processes that other tests try in short: a full disk in those of checkpoints, signals in those of
# the program and the loop, two at once in those of the evaluation and the study.
LONG = {"disks", "signals", "together"}


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.campaign] * (x in LONG)) for x in run.KINDS]
)
def test_a_few_trials_hold(name, tmp_path):
    kind = run.module(name)
    if name == "disks" and kind.missing():
        pytest.skip(kind.missing())
    trials = list(kind.trials(kind.SHORT, SEED, tmp_path))
    assert len(trials) == kind.SHORT
    assert [trial for trial in trials if not trial.held] == []
