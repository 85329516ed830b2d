"""Answers from records that were made up, and the command on a training of seconds."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import study
from maskformer_jax import experiment
from maskformer_jax.errors import InputError
from maskformer_jax.study import interactions, interactions_answers, interactions_plots
from maskformer_jax.study.interactions_answers import (
    WINDOW,
    Crossing,
    Span,
    answer,
    crossings,
    read,
    smooth,
    spans_below_zero,
    window,
)
from maskformer_jax.training import loop, run_folder
from maskformer_jax.training.interactions import FILE_NAME, WHOLE, describe
from maskformer_jax.training.logging import as_line, read_lines

ROOT = Path(__file__).parents[2]
NUMBER, EVERY = 101, 5
STEPS = 1 + EVERY * np.arange(NUMBER)
LOSSES = ("jet_class", "track_origin", "object_class", "mask_ce", "mask_dice", "regression")
WEIGHTS = np.array([1.0, 0.5, 2.0, 10.0, 2.0, 1.0])


def gradients_of(time):
    """Six gradients with known lengths and one pair that turns from conflict to agreement.

    Mask CE (3) and Dice (4) have cosine 2 time - 1, so that it crosses zero in the middle; Dice
    grows from 1 to 3 while cross-entropy keeps length 2. All others are orthogonal, of length 1.
    """
    gradients = np.eye(6, 8)
    cosine = 2 * time - 1
    gradients[3] *= 2
    gradients[4] = 0
    gradients[4, 3], gradients[4, 7] = cosine, np.sqrt(1 - cosine**2)
    gradients[4] *= 1 + 2 * time
    return gradients


def line(step, time, weights, curvature):
    parts = {}
    gradients = gradients_of(time)
    for name, found in {WHOLE: gradients, "encoder": gradients[:, :5]}.items():
        values = describe(found @ found.T, np.abs(found).sum(1), weights)
        lists = {k: [None if np.isnan(x) else x for x in v] for k, v in values.items()}
        parts[name] = lists
    extra = {"curvature": {"mean": 4 * time, "in_direction": time - 0.25}} if curvature else {}
    losses = dict.fromkeys(LOSSES, 1.0)
    return json.dumps({"step": int(step), "losses": losses, "parts": parts, **extra})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder with the runs `equal`, which recorded the curvature, and `static`."""
    folder = tmp_path_factory.mktemp("runs")
    for name, weights in (("equal", np.ones(6)), ("static", WEIGHTS)):
        (folder / name).mkdir()
        times = np.linspace(0, 1, NUMBER)
        lines = (
            line(step, time, weights, name == "equal")
            for step, time in zip(STEPS, times, strict=True)
        )
        (folder / name / FILE_NAME).write_text("\n".join(lines) + "\n")
    return folder


def test_smoothing_is_the_mean_of_the_window_that_ends_in_a_record():
    values = np.random.default_rng(0).normal(size=(NUMBER, 2))
    curves = smooth(pd.DataFrame(values, STEPS))
    assert curves.index.tolist() == STEPS[WINDOW:].tolist()
    for i in (0, 1, NUMBER - WINDOW - 1):
        np.testing.assert_allclose(curves.iloc[i], values[i + 1 : i + 1 + WINDOW].mean(0))


def test_records_without_a_gradient_are_left_out():
    values = np.ones((NUMBER, 2))
    values[20], values[:40, 1] = np.nan, np.nan
    curves = smooth(pd.DataFrame(values)).to_numpy()
    assert (curves[:, 0] == 1).all()
    assert np.isnan(curves[: 40 - WINDOW, 1]).all() and (curves[40 - WINDOW :, 1] == 1).all()


def test_few_records_are_smoothed_over_half_of_them():
    assert window(9) == 4 and smooth(pd.Series(np.arange(9.0))).tolist() == [
        2.5,
        3.5,
        4.5,
        5.5,
        6.5,
    ]


def test_answers_on_the_pair_that_turns(runs):
    found = answer(read(runs / "equal"))
    pair, *others = found.pairs
    assert pair == "mask CE / mask dice" and len(others) == 14
    # Negative before record 50 of 101; a mean over 15 lags 7 records behind.
    assert found.pairs[pair] == pytest.approx((50 / 101, -0.76, 0.76))
    assert found.masks["cosine"] == [Crossing(int(STEPS[57]), True)]
    assert found.below[pair] == [Span(int(STEPS[15]), int(STEPS[56]), 42)]
    assert all(found.pairs[x].share == 0 and not found.below[x] for x in others)


def test_answers_on_size(runs):
    """Dice overtakes cross-entropy in the middle, after scaling 10 to 2 never."""
    equal, static = (answer(read(runs / name)) for name in ("equal", "static"))
    for found in (equal, static):
        shares = [x.share for x in found.sizes["before"].values()]
        assert shares == pytest.approx([0, 0, 0, 51 / 101, 50 / 101, 0])
        assert found.sizes["before"]["mask dice"].early == pytest.approx(1 + 2 * 0.12)
        assert found.masks["before"] == [Crossing(int(STEPS[57]), False)]
    assert equal.sizes.keys() == {"before"}
    assert [x.share for x in static.sizes["after"].values()] == [0, 0, 0, 1, 0, 0]
    assert static.sizes["after"]["mask CE"].late == pytest.approx(20)
    assert static.masks["after"] == []


def test_answers_on_curvature(runs):
    found = answer(read(runs / "equal"))
    assert found.curvature == pytest.approx((75 / 101, -0.13, 0.63))
    assert found.highest == (pytest.approx(0.75), STEPS[-1])
    assert answer(read(runs / "static")).curvature is None


@pytest.mark.parametrize(
    ("values", "spans", "expected"),
    [
        ([1, -1, -1, 2, -2], [Span(2, 3, 2), Span(5, 5, 1)], [(2, False), (3, True), (4, False)]),
        ([-1, -1, -1, -1, -1], [Span(1, 5, 5)], []),
        ([0, 0, 1, 0, 2], [], []),
        # Windows without a gradient.
        ([-1, np.nan, np.nan, 2, 2], [Span(1, 1, 1)], [(2, True)]),
    ],
)
def test_spans_and_crossings(values, spans, expected):
    curve = pd.Series(values, np.arange(1, 6), float)
    assert spans_below_zero(curve) == spans
    assert crossings(curve) == [Crossing(*pair) for pair in expected]


def test_text_names_the_pair_the_task_and_the_steps(runs):
    text = interactions_answers.write({name: read(runs / name) for name in ("equal", "static")})
    assert (
        "With `equal` the smoothed cosine stays negative for longer than a window for mask CE / "
        f"mask dice (steps {STEPS[15]} to {STEPS[56]})."
    ) in text
    assert "no pair stays negative" not in text
    assert "before scaling, mask CE has the largest gradient in 50 % of the steps" in text
    assert f"crosses 0 at step {STEPS[57]} (from conflict to agreement)" in text
    assert f"cross at step {STEPS[57]} (mask dice becoming the larger)" in text
    assert text.count("norms after scaling") == 1
    assert "norms after scaling do not cross, mask CE is the larger" in text
    assert text.count("curvature in the direction") == 1 and "at most 0.75 (step 501)" in text
    rows = [row for row in text.splitlines() if row.startswith("| mask CE / mask dice")]
    assert [cell.strip() for cell in rows[0].split("|")[2:6]] == [
        "-0.760",
        "0.760",
        "50",
        "76 to 281",
    ]


def test_without_masks_nothing_is_said_of_them(runs, tmp_path):
    """Records of three losses, as GN2 has them."""
    lines = read_lines(runs / "equal" / FILE_NAME)
    for line in lines:
        line["losses"] = dict.fromkeys(LOSSES[:3], 1.0)
        for part in line["parts"].values():
            part |= {name: values[:3] for name, values in part.items()}
    (tmp_path / FILE_NAME).write_text("".join(map(as_line, lines)))
    found = read(tmp_path)
    answers, losses = answer(found), ["jet class", "track origin", "object class"]
    assert answers.masks is None and list(answers.sizes["before"]) == losses
    assert len(answers.pairs) == 3
    text = interactions_answers.write({"equal": found})
    assert "smoothed cosine of no pair stays negative for a window" in text
    assert "mask" not in text.lower() and "| jet class / track origin" in text
    assert len(interactions_plots.draw({"equal": found}, tmp_path)) == 9


def test_pictures_are_drawn(runs, tmp_path):
    files = interactions_plots.draw({n: read(runs / n) for n in ("equal", "static")}, tmp_path)
    assert len(files) == len({*files}) == 12
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not there: train with `training.record_interactions`"),
        ("", "has 0 records, too few for a curve"),
        ("{}\n" * 5, "is damaged"),
        (as_line({"step": 1}).replace("1}", "2}") * 5, "is damaged"),
        ("[1, 2\n" * 5, "is damaged"),
    ],
)
def test_records_that_cannot_be_read(tmp_path, text, message):
    if text is not None:
        (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Command line of two trainings of 35 steps."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, jets in (("train", 70), ("val", 30)):
        path = ROOT / "data" / "sample" / f"{name}.h5"
        with h5py.File(path) as old, h5py.File(folder / f"{name}.h5", "w") as new:
            for dataset in old:
                new.create_dataset(dataset, data=old[dataset][:jets], chunks=True)
    return [
        *("interactions", "--config", str(ROOT / "configs" / "quickstart.yaml")),
        *(f"--data.{name}_file={folder / name}.h5" for name in ("train", "val")),
        *("--data.streams.tracks.cap=8", "--data.block_size=10", "--data.group_blocks=3"),
        *("--model.embed_dim=16", "--model.num_heads=2", "--model.head_widths=[16]"),
        *("--model.encoder.layers=1", "--without=[hadrons]"),
        *("--training.batch_size=2", "--training.epochs=1"),
    ]


def test_the_command_trains_twice_and_reports(command, tmp_path, capsys, monkeypatch):
    options, configs, train = (
        [*command, "--every=1", f"--output_dir={tmp_path}"],
        [],
        experiment.train,
    )

    def train_first(config, resume):
        """The second training is a copy of the first."""
        configs.append(config)
        if config.weighting.name == "equal":
            return train(config, resume=resume)
        shutil.copytree(tmp_path / "equal", config.output_dir, dirs_exist_ok=True)
        run_folder.complete(Path(config.output_dir), config, {})
        return loop.Outcome(True, 0, 35)

    monkeypatch.setattr(experiment, "train", train_first)
    assert study.main(options) == 0
    printed = capsys.readouterr().out
    report = (tmp_path / interactions.REPORT_FILE).read_text()
    assert report.startswith("# Task interactions with equal and static weights\n")
    assert report.split("## Pictures")[0].strip() in printed
    assert len(list(tmp_path.glob("*.png"))) == report.count("![") == 7
    assert [config.weighting.name for config in configs] == ["equal", "static"]
    assert configs[1].weighting.options["weights"] == dict(zip(LOSSES, WEIGHTS, strict=True))
    lines = read_lines(tmp_path / "equal" / FILE_NAME)
    assert [line["step"] for line in lines] == list(range(1, 36))
    assert len(lines[0]["parts"][WHOLE]["cosine"]) == 1
    assert lines[-1]["weights"] == dict.fromkeys(LOSSES[:2], 1.0)

    # What is trained is not trained again.
    monkeypatch.setattr(experiment, "train", None)
    monkeypatch.setattr(interactions_plots, "draw", lambda records, folder, look: [])
    assert study.main(options) == 0
    assert (tmp_path / interactions.REPORT_FILE).read_text() == report.split("\n## Pictures")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every=2"], "`--every` must be at most 1 for 30 records of 35 steps; got 2"),
        (["--training.batch_size=3"], "must give at least 30 steps, one for each record that the"),
        (["--every=0"], "`training.record_interactions` must be at least 1; got 0"),
        (["--every=1", "--curvature=1"], "`training.record_curvature` must be at least 2; got 1"),
        (["--every=1", "--data.train_file=none.h5"], "none.h5: no such file"),
        (["--every=1", "--training.monitor=val/loss/none"], "no quantity (`training.monitor`) is"),
    ],
)
def test_wrong_command_lines(command, options, message, tmp_path, capsys):
    assert study.main([*command, *options, f"--output_dir={tmp_path / 'new'}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()
