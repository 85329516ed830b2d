import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_results import made_up

from maskformer_jax import experiment
from maskformer_jax.canvas import PlotConfig
from maskformer_jax.config import Config
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import plots
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.plots import draw_plots, learning, redraw
from maskformer_jax.evaluation.result_files import write_results
from maskformer_jax.evaluation.results import Confusion, Curve, Part, Points, Result
from maskformer_jax.evaluation.tagging import Jets, TaggingSection
from maskformer_jax.extras import MissingExtra


@pytest.fixture
def results_of(config, setting):
    """Results of a tagger, which is stronger by `shift`, and of a weaker baseline."""

    def results(label, shift=1.0, flavours=3):
        baseline = Baseline(config.evaluation.baseline, None)
        section = TaggingSection(setting._replace(baseline=baseline), setting.tasks[0])
        generator = np.random.default_rng(0)
        flavour = np.arange(900) % flavours
        logits = generator.normal(size=(900, 3)) + shift * np.eye(3)[flavour]
        baseline = generator.normal(size=900) - flavour
        pt, confusion = np.tile([25, 35, 300], 300), np.zeros((1, 3, 3), int)
        section.parts = [Jets(flavour, pt, flavour, logits, baseline, confusion)]
        return Result(label, 900, {"tagging": {"jet_class": section.part()}})

    return results


@pytest.fixture
def drawn(monkeypatch):
    """Keeps the figures instead of turning them into files, which takes its time."""
    figures = {}

    def keep(figure, path, look):
        figures[path.name] = figure
        return [path]

    monkeypatch.setattr(plots, "save", keep)
    return figures


KINDS = {
    signal: [("efficiency", signal), ("rejection", other), ("rejection", "u")]
    for signal, other in ("bc", "cb")
}
COMMON = {
    *("roc_b", "roc_c", "fraction_scan_b", "fraction_scan_c"),
    *(f"{x}_{axis}_b_{of}jets" for axis in ("pt", "eta") for x, of in KINDS["b"]),
    *(f"{x}_{axis}_c_{of}jets" for axis in ("pt", "eta") for x, of in KINDS["c"]),
}


def test_pictures_of_one_run_compare_with_its_baseline(results_of, drawn, tmp_path):
    files = draw_plots([results_of("Net/work")], tmp_path)
    of_taggers = ("b_Net_work", "b_baseline", "c_Net_work")
    assert {f.name for f in files} == COMMON | {f"discriminant_{x}" for x in of_taggers}
    roc = drawn["roc_b"]
    assert legends(roc) == [["baseline", "Net/work"], ["light-jets"], ["$c$-jets"]]
    assert len(roc.axes) == 3 and len(drawn["roc_c"].axes) == 1
    assert "$f_{c}$ = 0.1" in roc.get_suptitle() and "900 jets" in roc.get_suptitle()


def legends(figure):
    """The labels of each panel."""
    return [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]


def only(result, *figures):
    """A result with these pictures alone."""
    (part,) = result.sections["tagging"].values()
    curves = [curve for curve in part.curves if curve.figure in figures]
    return Result(result.label, 900, {"tagging": {"jet_class": Part(part.tables, curves=curves)}})


def test_pictures_of_several_runs_have_the_first_as_reference(results_of, drawn, tmp_path):
    names = ("roc_c", "discriminant_b", "discriminant_c")
    runs = [only(results_of("A"), *names), only(results_of("B", shift=2.0), *names)]
    files = draw_plots(runs, tmp_path)
    assert {f.name for f in files} == {*names}
    roc = drawn["roc_c"]
    assert legends(roc) == [["A", "B"], ["light-jets"], ["$b$-jets"]]
    panels_of_b = drawn["discriminant_b"].axes
    assert len(panels_of_b) == 6 and panels_of_b[0].get_yscale() == "log"
    first, second = (patch.get_data().values for patch in panels_of_b[0].patches)
    assert first.sum() == pytest.approx(1) == second.sum()
    classes = drawn_alone(results_of, drawn, tmp_path).axes
    assert len(classes) == 1 and len(classes[0].patches) == 3


def drawn_alone(results_of, drawn, folder):
    draw_plots([only(results_of("A"), "discriminant_b")], folder)
    return drawn["discriminant_b_A"]


def test_the_cross_of_the_scan_is_the_rejection_of_the_table(results_of, drawn, tmp_path):
    result = only(results_of("A"), "fraction_scan_b", "fraction_scan_c")
    draw_plots([result], tmp_path)
    for signal, point, other, own in (("b", "0.7", "cjets", 0.1), ("c", "0.3", "bjets", 0.2)):
        line, cross, *_ = drawn[f"fraction_scan_{signal}"].axes[0].lines
        part = result.sections["tagging"]["jet_class"]
        table = part.table(f"{signal}_tagging")
        assert cross.get_xdata() == pytest.approx([table.get(point, "ujets").value], rel=1e-6)
        assert cross.get_ydata() == pytest.approx([table.get(point, other).value], rel=1e-6)
        scans = [c for c in part.curves if c.figure == f"fraction_scan_{signal}"]
        assert {curve.mark for curve in scans} == {own}
        assert own in scans[0].points.x
        assert len(line.get_xdata()) == len(scans[0].points.x) >= 39


def test_without_all_flavours_no_tagger_is_drawn(results_of, drawn, tmp_path):
    draw_plots([results_of("Network", flavours=2)], tmp_path)
    assert list(drawn) == []


NAN = np.nan
EDGES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def run(label, *curves, **parts):
    return Result(label, 9, {"part": {"task": Part(curves=curves, **parts)}})


def profile(value, error, kind="efficiency", figure="a", name=""):
    points = Points.with_error(EDGES, np.array(value), np.array(error))
    return Curve(figure, name, kind, points, "Title", x_label="pt [GeV]", y_label="efficiency")


def test_bins_without_jets_are_cut_off_at_both_ends(drawn, tmp_path):
    first = profile([NAN, 0.5, NAN, 0.3], [NAN, 0.1, NAN, 0.3])
    second = profile([NAN, 0.4, 0.2, NAN], [NAN, 0.05, 0.2, NAN])
    assert draw_plots([run("A", first), run("B", second)], tmp_path) == [tmp_path / "a"]
    main, ratio = drawn["a"].axes
    assert main.get_xlim() == (2, 16) and ratio.get_ylabel() == "Ratio to\nA"
    assert ratio.get_xlabel() == "$p_T$ [GeV]"
    # Ratios are to the first run, and the band is its error.
    ratios = [patch.get_data().values for patch in ratio.patches if not patch.get_fill()]
    np.testing.assert_allclose(ratios[1], [NAN, 0.8, NAN, NAN])
    (band,) = (patch.get_data() for patch in ratio.patches if patch.get_fill())
    np.testing.assert_allclose([band.baseline[1], band.values[1]], [0.8, 1.2])
    assert draw_plots([run("A", profile([NAN] * 4, [NAN] * 4))], tmp_path) == []


def test_bars_end_inside_the_picture_and_equal_bins_have_a_linear_axis(drawn, tmp_path):
    curve = profile([0.1, 0.05, NAN, NAN], [0.3, 0.02, NAN, NAN])
    even = dataclasses.replace(curve, points=curve.points._replace(x=np.arange(5.0)))
    for found, scale in ((curve, "log"), (even, "linear")):
        draw_plots([run("A", found)], tmp_path)
        axes = drawn["a"].axes[0]
        assert axes.get_ylim() == (0, pytest.approx(1.1 * 0.4)) and axes.get_xscale() == scale


def test_several_panels_share_a_picture(drawn, tmp_path):
    names = ("one", "two", "three")
    first = [profile([0.5, 1.0, NAN, NAN], [0.1, 0.0, NAN, NAN], name=name) for name in names]
    assert len(draw_plots([run("A", *first)], tmp_path)) == 1
    figure = drawn["a"]
    assert len(figure.axes) == 3 and figure.get_suptitle() == "Title"
    assert {axes.get_xlim() for axes in figure.axes} == {(1, 4)}
    assert {axes.get_ylim() for axes in figure.axes} == {(0, 1)}


def test_a_bin_in_which_nothing_passes_has_an_arrow(drawn, tmp_path):
    curve = profile([5.0, NAN, NAN, NAN], [1.0, NAN, NAN, NAN], kind="rejection")
    low = np.array([4.0, 30.0, NAN, NAN])
    curve = dataclasses.replace(curve, points=curve.points._replace(low=low))
    draw_plots([run("A", curve)], tmp_path)
    axes = drawn["a"].axes[0]
    arrows = [line.get_ydata() for line in axes.lines if line.get_marker() != "o"]
    assert any(np.array_equal(y, [NAN, 30, NAN, NAN], equal_nan=True) for y in arrows)
    assert axes.get_xlim() == (1, 4) and "Arrows" in drawn["a"].get_suptitle()


LOSSES = ("jet_class", "mask_ce")


def write_log(folder, epochs=2):
    lines = []
    for step in range(1, 1 + 4 * epochs):
        values = {f"{kind}/{x}": 1 / step for kind in ("loss", "weight") for x in LOSSES}
        cosine = {"cosine/jet_class/mask_ce": -0.1, "learning_rate": 1e-3, "loss/total": 2.0}
        lines.append({"step": step, **values, **cosine})
        if step % 4 == 0:
            lines.append({"step": step, "epoch": step // 4, "val/loss/jet_class": 0.5})
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + '{"step": 9, "loss')


def test_learning_curves_of_one_run_and_of_several(tmp_path, monkeypatch):
    figures = {}

    def keep(figure, path, look):
        figures[path.name] = figure
        return [path]

    monkeypatch.setattr(learning, "save", keep)
    for name in "ab":
        write_log(tmp_path / name)
    logs = {name: learning.log_of(tmp_path / name) for name in "ab"}
    learning.draw_learning({"A": logs["a"]}, tmp_path, PlotConfig())
    assert [*figures] == [f"learning_{x}" for x in ("losses", "weights", "cosines", "course")]
    training, validation = figures["learning_losses"].axes[0].lines
    np.testing.assert_allclose(training.get_xdata(), np.arange(1, 9) / 4)
    np.testing.assert_allclose(validation.get_xydata(), [[1, 0.5], [2, 0.5]])
    learning.draw_learning(logs, tmp_path, PlotConfig())
    assert len(figures["learning_validation_losses"].axes[0].lines) == 2
    assert learning.log_of(tmp_path).values == {}


def counts(label, values, edges=EDGES):
    points = Points.with_error(edges, np.array(values, float), np.sqrt(values))
    curve = Curve("residuals", "pt", "counts", points, x_label="pt: true - predicted", mark=0.0)
    return run(label, dataclasses.replace(curve, note=f"{label} ± 1"))


def test_histograms_have_ratios_where_the_first_run_has_entries(drawn, tmp_path):
    draw_plots([counts("A", [20, 70, 5, 5]), counts("B", [30, 35, 30, 5])], tmp_path)
    main, ratio = drawn["residuals"].axes
    np.testing.assert_allclose(main.patches[0].get_data().values, [0.2, 0.7, 0.05, 0.05])
    assert [text.get_text() for text in main.get_legend().get_texts()] == ["A ± 1", "B ± 1"]
    np.testing.assert_allclose(ratio.patches[1].get_data().values, [1.5, 0.5, NAN, NAN])
    assert ratio.get_xlabel() == "$p_T$: true − predicted"
    # Other edges have no ratio.
    draw_plots([counts("A", [20] * 4), counts("B", [30] * 4, EDGES + 1)], tmp_path)
    main, ratio = drawn["residuals"].axes
    assert len(main.patches) == 2 and len(ratio.patches) == 1


def test_confusion_is_in_percent_of_the_true_class(drawn, tmp_path):
    found = Confusion("task_confusion", "Title", ["x", "fromB"], [[3, 1], [0, 0]])
    draw_plots([run("A", confusions=[found])], tmp_path)
    axes = drawn["task_confusion"].axes[0]
    assert [text.get_text() for text in axes.texts] == ["75.0", "25.0", "-", "-"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x\n4", "from $b$\n0"]
    nothing = dataclasses.replace(found, counts=[[0, 0], [0, 0]])
    assert draw_plots([run("A", confusions=[nothing])], tmp_path) == []


def test_areas_are_dots_with_errors(drawn, tmp_path):
    draw_plots([made_up("A"), made_up("B", auc=0.6)], tmp_path)
    axes = drawn["track_origin_auc"].axes[0]
    dots = [container.lines[0].get_xdata() for container in axes.containers]
    np.testing.assert_allclose(dots, [[0.95, 0.95, NAN, 0.95], [0.6, 0.6, NAN, 0.6]])
    assert axes.get_xlim() == (0.55, 1)


def test_pictures_are_written_and_drawn_again(tmp_path):
    run = tmp_path / "run"
    write_log(run)
    folder = run / "evaluation"
    folder.mkdir()
    write_results(made_up("A"), folder)
    look = PlotConfig("Toy data", "t-tbar", ["png", "svg"])
    files = redraw([run], look)
    names = {"roc_b", "residuals", "jet_class_confusion", "track_origin_auc"}
    logs = {f"learning_{x}" for x in ("losses", "weights", "cosines", "course")}
    assert {file.stem for file in files} == names | logs
    assert all(file.parent == (run if file.stem in logs else folder) for file in files)
    assert len(files) == 2 * len(names | logs)
    begins = {"png": b"\x89PNG", "svg": b"<?xml"}
    assert all(file.read_bytes().startswith(begins[file.suffix[1:]]) for file in files)
    with pytest.raises(InputError, match="evaluate the run first"):
        redraw([tmp_path], look)


@pytest.mark.parametrize("formats", [[], ["gif"], ["png", "png"]])
def test_other_formats_are_refused(formats):
    with pytest.raises(InputError, match="formats"):
        PlotConfig(formats=formats)


def test_a_training_draws_its_curves_seldom(tmp_path, monkeypatch, capsys):
    now, drawn, missing = [0.0], [], []

    def draw(runs, labels, folder, look):
        if missing:
            raise MissingExtra("no matplotlib")
        drawn.append(now[0])
        now[0] += 1
        (folder / "learning_losses.png").touch()

    monkeypatch.setattr(plots, "draw_logs", draw)
    monkeypatch.setattr(experiment, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    at_epoch_end = experiment._drawing(Config(), tmp_path)
    # A picture that takes a second has been paid for after 20.
    for now[0], is_last in ((5, False), (21, False), (41, False), (43, False), (45, True)):
        at_epoch_end(is_last)
    assert drawn == [21, 43, 45]
    missing.append(True)
    for now[0], is_last in ((100, False), (500, True)):
        at_epoch_end(is_last)
    assert capsys.readouterr().out.count("no matplotlib") == 1
    # The last epoch of a short training is left to `redraw`.
    (tmp_path / "learning_losses.png").unlink()
    now[0] = 0
    experiment._drawing(Config(), tmp_path)(True)
    assert drawn == [21, 43, 45]
