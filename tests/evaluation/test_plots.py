import dataclasses

import numpy as np
import pytest
from made_up_results import made_up

from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.plots import classes, draw_plots, panels, tagging
from maskformer_jax.evaluation.results import Confusion, Curve, Part, Points, Result
from maskformer_jax.evaluation.tagging import Jets, TaggingSection


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
        section._chunks = [Jets(flavour, np.tile([25, 35, 300], 300), logits, baseline)]
        return Result(label, 900, {"tagging": {"jet_class": section.part()}})

    return results


@pytest.fixture
def drawn(monkeypatch):
    """Keeps the plots instead of turning them into files, which takes its time."""
    plots = {}

    def keep(plot, path):
        plots[path.name] = plot
        return path

    monkeypatch.setattr(tagging, "draw_and_save", keep)
    monkeypatch.setattr(panels, "save", keep)
    monkeypatch.setattr(classes, "save", keep)
    return plots


COMMON = {
    *("roc_b.png", "roc_c.png", "fraction_scan_b.png", "fraction_scan_c.png"),
    *("efficiency_pt_b_bjets.png", "rejection_pt_b_cjets.png", "rejection_pt_b_ujets.png"),
    *("efficiency_pt_c_cjets.png", "rejection_pt_c_bjets.png", "rejection_pt_c_ujets.png"),
}


def test_pictures_of_one_run_compare_with_its_baseline(results_of, drawn, tmp_path):
    files = draw_plots([results_of("Net/work")], tmp_path)
    of_taggers = ("b_Net_work", "b_baseline", "c_Net_work")
    assert {f.name for f in files} == COMMON | {f"discriminant_{x}.png" for x in of_taggers}
    roc = drawn["roc_b.png"]
    assert [r.label for r in roc.rocs.values()] == ["baseline"] * 2 + ["Net/work"] * 2
    assert drawn["roc_b.png"].n_ratio_panels == 2 and drawn["roc_c.png"].n_ratio_panels == 0
    assert "$f_{c}$ = 0.1" in roc.title and "900 jets" in roc.title


def test_pictures_of_several_runs_have_the_first_as_reference(results_of, drawn, tmp_path):
    files = draw_plots([results_of("A"), results_of("B", shift=2.0)], tmp_path)
    assert {f.name for f in files} == COMMON | {"discriminant_b.png", "discriminant_c.png"}
    roc = drawn["roc_c.png"]
    assert [r.label for r in roc.rocs.values()] == ["A", "A", "B", "B"]
    assert list(roc.reference_roc["ujets"]) and roc.n_ratio_panels == 2
    panels_of_b = drawn["discriminant_b.png"].axes
    assert len(panels_of_b) == 6 and panels_of_b[0].get_yscale() == "log"
    first, second = (patch.get_data().values for patch in panels_of_b[0].patches)
    assert first.sum() == pytest.approx(1) == second.sum()
    classes = drawn_alone(results_of, drawn, tmp_path).axes
    assert len(classes) == 1 and len(classes[0].patches) == 3


def drawn_alone(results_of, drawn, folder):
    draw_plots([results_of("A")], folder)
    return drawn["discriminant_b_A.png"]


@pytest.mark.parametrize(
    ("signal", "point", "other"), [("b", "0.7", "cjets"), ("c", "0.3", "bjets")]
)
def test_the_cross_of_the_scan_is_the_rejection_of_the_table(
    signal, point, other, results_of, drawn, tmp_path
):
    result = results_of("A")
    draw_plots([result], tmp_path)
    line, cross = drawn[f"fraction_scan_{signal}.png"].plot_objects.values()
    part = result.sections["tagging"]["jet_class"]
    table = part.table(f"{signal}_tagging")
    assert cross.x_values == pytest.approx([table.get(point, "ujets").value], rel=1e-6)
    assert cross.y_values == pytest.approx([table.get(point, other).value], rel=1e-6)
    scans = [c for c in part.curves if c.figure == f"fraction_scan_{signal}"]
    assert {curve.mark for curve in scans} == {0.1 if signal == "b" else 0.2}
    assert scans[0].mark in scans[0].points.x
    assert len(line.x_values) == len(scans[0].points.x) >= 39


def test_without_all_flavours_no_tagger_is_drawn(results_of, drawn, tmp_path):
    draw_plots([results_of("Network", flavours=2)], tmp_path)
    assert list(drawn) == []


NAN = np.nan
EDGES = np.array([1.0, 2.0, 4.0, 8.0, 16.0])


def run(label, *curves, **parts):
    return Result(label, 9, {"part": {"task": Part(curves=curves, **parts)}})


def profile(value, error, kind="efficiency", figure="a", name=""):
    points = Points(EDGES, np.array(value), np.array(error))
    return Curve(figure, name, kind, points, "Title", x_label="pt [GeV]", y_label="efficiency")


def test_bins_without_jets_are_cut_off_at_both_ends(drawn, tmp_path):
    first = profile([NAN, 0.5, NAN, 0.3], [NAN, 0.1, NAN, 0.3])
    second = profile([NAN, 0.4, 0.2, NAN], [NAN, 0.05, 0.2, NAN])
    assert draw_plots([run("A", first), run("B", second)], tmp_path) == [tmp_path / "a.png"]
    main, ratio = drawn["a.png"].axes
    assert main.get_xlim() == (2, 16) and ratio.get_ylabel() == "Ratio to\nA"
    assert ratio.get_xlabel() == "$p_T$ [GeV]"
    # Ratios are to the first run, and the band is its error.
    ratios = [patch.get_data().values for patch in ratio.patches if not patch.get_fill()]
    np.testing.assert_allclose(ratios[1], [NAN, 0.8, NAN, NAN])
    (band,) = (patch.get_data() for patch in ratio.patches if patch.get_fill())
    np.testing.assert_allclose([band.baseline[1], band.values[1]], [0.8, 1.2])
    assert draw_plots([run("A", profile([NAN] * 4, [NAN] * 4))], tmp_path) == []


def test_several_panels_share_a_picture(drawn, tmp_path):
    names = ("one", "two", "three")
    first = [profile([0.5, 1.0, NAN, NAN], [0.1, 0.0, NAN, NAN], name=name) for name in names]
    assert len(draw_plots([run("A", *first)], tmp_path)) == 1
    figure = drawn["a.png"]
    assert len(figure.axes) == 3 and figure._suptitle.get_text().endswith("all or none")
    assert {axes.get_xlim() for axes in figure.axes} == {(1, 4)}


def counts(label, values, edges=EDGES):
    points = Points(edges, np.array(values, float), np.sqrt(values))
    curve = Curve("residuals", "pt", "counts", points, x_label="pt: true - predicted", mark=0.0)
    return run(label, dataclasses.replace(curve, note=f"{label} ± 1"))


def test_histograms_have_ratios_where_the_first_run_has_entries(drawn, tmp_path):
    draw_plots([counts("A", [20, 70, 5, 5]), counts("B", [30, 35, 30, 5])], tmp_path)
    main, ratio = drawn["residuals.png"].axes
    np.testing.assert_allclose(main.patches[0].get_data().values, [0.2, 0.7, 0.05, 0.05])
    assert [text.get_text() for text in main.get_legend().get_texts()] == ["A ± 1", "B ± 1"]
    np.testing.assert_allclose(ratio.patches[1].get_data().values, [1.5, 0.5, NAN, NAN])
    assert ratio.get_xlabel() == "$p_T$: true − predicted"
    # Other edges have no ratio.
    draw_plots([counts("A", [20] * 4), counts("B", [30] * 4, EDGES + 1)], tmp_path)
    main, ratio = drawn["residuals.png"].axes
    assert len(main.patches) == 2 and len(ratio.patches) == 1


def test_confusion_is_in_percent_of_the_true_class(drawn, tmp_path):
    found = Confusion("task_confusion", "Title", ["x", "fromB"], [[3, 1], [0, 0]])
    draw_plots([run("A", confusions=[found])], tmp_path)
    axes = drawn["task_confusion.png"].axes[0]
    assert [text.get_text() for text in axes.texts] == ["75.0", "25.0", "-", "-"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x\n4", "from $b$\n0"]
    nothing = dataclasses.replace(found, counts=[[0, 0], [0, 0]])
    assert draw_plots([run("A", confusions=[nothing])], tmp_path) == []


def test_areas_are_dots_with_errors(drawn, tmp_path):
    draw_plots([made_up("A"), made_up("B", auc=0.6)], tmp_path)
    axes = drawn["track_origin_auc.png"].axes[0]
    dots = [container.lines[0].get_xdata() for container in axes.containers]
    np.testing.assert_allclose(dots, [[0.95, 0.95, NAN, 0.95], [0.6, 0.6, NAN, 0.6]])
    assert axes.get_xlim() == (0.6, 1)


def test_pictures_are_written(tmp_path):
    files = draw_plots([made_up()], tmp_path)
    names = {"roc_b", "residuals", "jet_class_confusion", "track_origin_auc"}
    assert {file.stem for file in files} == names
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
