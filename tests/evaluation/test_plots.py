import numpy as np
import pytest

from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.plots import panels, tagging
from maskformer_jax.evaluation.results import read_results, write_results
from maskformer_jax.evaluation.tagging import Jets, TaggingSection


@pytest.fixture
def results_of(config, setting, tmp_path):
    """Results of a tagger, which is stronger by `shift`, and of a weaker baseline."""

    def results(label, shift=1.0, flavours=3):
        baseline = Baseline(config.evaluation.baseline, None)
        section = TaggingSection(setting._replace(baseline=baseline), setting.tasks[0])
        generator = np.random.default_rng(0)
        flavour = np.arange(900) % flavours
        logits = generator.normal(size=(900, 3)) + shift * np.eye(3)[flavour]
        baseline = generator.normal(size=900) - flavour
        section._chunks = [Jets(flavour, np.tile([25, 35, 300], 300), logits, baseline)]
        metrics = {"jets": 900, "tagging": {"jet_class": section.metrics()}}
        write_results(metrics, {"tagging": {"jet_class": section.curves()}}, tmp_path)
        return read_results(tmp_path, label)

    return results


@pytest.fixture
def drawn(monkeypatch):
    """Keeps the puma plots instead of turning them into files, which takes its time."""
    plots = {}

    def keep(plot, path, decades=()):
        plots[path.name] = plot
        return path

    monkeypatch.setattr(tagging, "draw_and_save", keep)
    monkeypatch.setattr(panels, "save", keep)
    return plots


COMMON = {
    *("roc_b.png", "roc_c.png", "fraction_scan_b.png", "fraction_scan_c.png"),
    *("efficiency_pt_b_bjets.png", "rejection_pt_b_cjets.png", "rejection_pt_b_ujets.png"),
    *("efficiency_pt_c_cjets.png", "rejection_pt_c_bjets.png", "rejection_pt_c_ujets.png"),
}


def test_pictures_of_one_run_compare_with_its_baseline(results_of, drawn, tmp_path):
    files = tagging.draw([results_of("Network")], tmp_path)
    of_taggers = ("b_Tagger", "b_baseline", "c_Tagger")
    assert {f.name for f in files} == COMMON | {f"discriminant_{x}.png" for x in of_taggers}
    roc = drawn["roc_b.png"]
    assert [r.label for r in roc.rocs.values()] == ["baseline"] * 2 + ["Network"] * 2
    assert drawn["roc_b.png"].n_ratio_panels == 2 and drawn["roc_c.png"].n_ratio_panels == 0
    assert "$f_{c}$ = 0.1" in roc.title and "900 jets" in roc.title


def test_pictures_of_several_runs_have_the_first_as_reference(results_of, drawn, tmp_path):
    files = tagging.draw([results_of("A"), results_of("B", shift=2.0)], tmp_path)
    flavours = [f"discriminant_{s}_{f}jets.png" for s in "bc" for f in "bcu"]
    assert {f.name for f in files} == COMMON | set(flavours)
    roc = drawn["roc_c.png"]
    assert [r.label for r in roc.rocs.values()] == ["A", "A", "B", "B"]
    assert list(roc.reference_roc["ujets"]) and roc.n_ratio_panels == 2
    histogram = drawn["discriminant_b_ujets.png"].plot_objects["1"]
    assert histogram.hist.sum() == pytest.approx(1)
    # Errors of counts, on the scale of the histogram.
    np.testing.assert_allclose(histogram.unc, np.sqrt(histogram.hist / 300))


@pytest.mark.parametrize(
    ("signal", "point", "other"), [("b", "0.7", "cjets"), ("c", "0.3", "bjets")]
)
def test_the_cross_of_the_scan_is_the_rejection_of_the_table(
    signal, point, other, results_of, drawn, tmp_path
):
    result = results_of("A")
    tagging.draw([result], tmp_path)
    line, cross = drawn[f"fraction_scan_{signal}.png"].plot_objects.values()
    values = result.metrics["tagging"]["jet_class"]["discriminants"][signal]["points"]["Tagger"][
        point
    ]["rejections"]
    assert cross.x_values == pytest.approx([values["ujets"]["value"]], rel=1e-6)
    assert cross.y_values == pytest.approx([values[other]["value"]], rel=1e-6)
    scanned = result.curves["tagging"]["jet_class"]["fraction_scan"][signal]["Tagger"]["ujets"]["x"]
    found = result.metrics["tagging"]["jet_class"]["discriminants"][signal]
    assert found["fractions"][other] in scanned
    assert len(line.x_values) == len(scanned) >= 39


def test_bins_without_jets_are_cut_off_at_both_ends(drawn, tmp_path):
    nan = np.nan
    curve = {"x": [1, 2, 4, 8, 16], "value": [nan, 1, nan, 3], "error": [nan, 0.1, nan, 0.3]}
    other = curve | {"value": [nan, 2, 2, nan], "error": [nan, 0.2, 0.2, nan]}
    options = {"xlabel": "x", "ylabel": "y"}
    curves = [("A", curve), ("B", other)]
    assert panels.draw_profile(curves, tmp_path / "a.png", **options) == tmp_path / "a.png"
    main, ratio = drawn["a.png"].axes
    assert main.get_xlim() == (2, 16) and ratio.get_ylabel() == "Ratio to\nA"
    empty = curve | {"value": [nan] * 4}
    assert panels.draw_profile([("A", empty)], tmp_path / "a.png", **options) is None


def test_without_all_flavours_nothing_is_drawn(results_of, tmp_path):
    assert tagging.draw([results_of("Network", flavours=2)], tmp_path) == []
