"""A few trials of every kind of the campaign: all hold."""

import pytest
from campaign import run

# One of a training that is killed once, in its fifth checkpoint.
SEED = 69


@pytest.mark.parametrize("name", run.KINDS)
def test_a_few_trials_hold(name, tmp_path):
    kind = run.module(name)
    if name == "disks" and kind.missing():
        pytest.skip(kind.missing())
    trials = list(kind.trials(kind.SHORT, SEED, tmp_path))
    assert len(trials) == kind.SHORT
    assert [trial for trial in trials if not trial.held] == []
