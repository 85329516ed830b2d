"""What a terminal of 80 columns shows."""

import re
import sys

import pytest

from maskformer_jax.progress import bar, stage
from maskformer_jax.training.progress import BESIDE, ProgressBar

LOSSES = {"jet_class": 0.759, "track_origin": 0.719, "mask_ce": 1.25, "mask_dice": 0.5}


@pytest.fixture
def columns(monkeypatch):
    """Sets the width of the terminal."""

    def narrow(number):
        monkeypatch.setenv("COLUMNS", str(number))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    return narrow


def shown(text):
    return [line for line in re.split(r"[\r\n]|\x1b\[K", text) if line.strip()]


@pytest.mark.parametrize(
    ("width", "expected"),
    [(80, "loss 4.312"), (111, "loss 4.312, jet_class 0.759, track_origin 0.719")],
)
def test_as_many_losses_as_there_is_room_for_stand_beside_a_bar(capsys, columns, width, expected):
    columns(width)
    with ProgressBar(300_000, 0) as made:
        assert not shown(capsys.readouterr().err)
        made.show_losses(4.312, LOSSES)
        made._bar.mininterval = 0
        made.advance(150_000)
        made.show_validation(1, {f"val/loss/{name}": x for name, x in LOSSES.items()})
    text = capsys.readouterr()
    first = shown(text.err)[0]
    assert " 50% |██████      | 150k/300k jets, " in first and first.endswith(f", {expected}")
    assert len(first) - len(expected) <= BESIDE
    assert max(map(len, text.out.splitlines())) <= width and "mask_ce 1.250" in text.out


def test_a_training_that_is_finished_has_no_bar(capsys, columns):
    columns(80)
    with ProgressBar(300, 300):
        pass
    assert not capsys.readouterr().err


def test_a_stage_counts_seconds_on_a_terminal_alone(capsys, columns):
    with stage("reading"), bar(2, "jets"):
        pass
    assert not capsys.readouterr().err
    columns(80)
    with pytest.raises(KeyError), stage("reading"):
        raise KeyError
    assert shown(capsys.readouterr().err) == ["reading: 0 s"] * 2
