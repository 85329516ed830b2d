"""Discriminants, rejections and curves against ftag, scikit-learn and by hand."""

import types

import numpy as np
import pytest
from ftag import Flavours
from ftag.utils import calculate_rejection, calculate_rejection_error, get_discriminant
from sklearn import metrics as sklearn_metrics

from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.quantities import rejection
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.evaluation.tagging import TaggingSection
from maskformer_jax.evaluation.tagging_curves import (
    discriminant,
    fraction_scan,
    roc_curve,
    threshold,
)

CHARM = """
data: {labels: {is_charm: {of: jets, field: flavour_label, classes: {charm: 1, other: [0, 2]}}}}
tasks: {charm: {kind: classification, label: is_charm}}
evaluation:
  discriminants:
    x: {signal: charm, backgrounds: {other: 1.0}, working_points: [0.05, 0.5]}
without: [hadrons]
"""


def probabilities(jets=3000, seed=0):
    """Labels (b, c, light in turn, one in ten without) and probabilities that know of them."""
    generator = np.random.default_rng(seed)
    label = np.arange(jets) % 3
    logits = generator.normal(size=(jets, 3)) + 2 * np.eye(3)[label]
    label[generator.random(jets) < 0.1] = -1
    return label, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def normal_scores(number):
    """Scores of signal and background of which the signal's are larger."""
    signal, background = np.random.default_rng(1).normal(size=(2, number))
    return signal + 1.5, background


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize(
    ("signal", "names", "columns"), [("bjets", "cu", (0, 1, 2)), ("cjets", "bu", (1, 0, 2))]
)
def test_discriminants_are_those_of_ftag(signal, names, columns, fraction):
    _, prob = probabilities(50)
    jets = np.rec.fromarrays(prob.T, names=["T_pb", "T_pc", "T_pu"])
    flavours = [Flavours[name] for name in ("bjets", "cjets", "ujets")]
    values = (fraction, 1 - fraction)
    fractions = {f"f{name}": value for name, value in zip(names, values, strict=True)}
    expected = get_discriminant(jets, "T", Flavours[signal], flavours, fractions, epsilon=0)
    found = discriminant(np.log(prob), columns[0], dict(zip(columns[1:], values, strict=True)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rejections_and_errors_are_those_of_ftag():
    signal, background = normal_scores(2000)
    cut = threshold(signal, 0.7)
    value = rejection(int(np.count_nonzero(background >= cut)), len(background))
    assert value.value == pytest.approx(calculate_rejection(signal, background, cut_value=cut))
    assert value.error == pytest.approx(calculate_rejection_error(value.value, 2000))


def test_roc_curve_is_that_of_scikit_learn():
    signal, background = normal_scores(500)
    truth, score = np.repeat([1, 0], 500), np.concatenate([signal, background])
    false, true, _ = sklearn_metrics.roc_curve(truth, score, drop_intermediate=False)
    efficiencies = np.arange(50, 501) / 500
    first = np.searchsorted(true, efficiencies - 1e-9)
    curve = roc_curve(signal, background, efficiencies)
    with np.errstate(divide="ignore"):
        expected = np.where(false[first] > 0, 1 / false[first], np.nan)
    np.testing.assert_allclose(curve.value, expected)
    assert np.isfinite(curve.value).sum() > 300


def test_roc_curve_by_hand():
    signal, background = np.arange(10.0), np.array([0.0, 1.0, 4.0, 8.5])
    # The cuts are 9, 5 and 0: no, one and all four background jets pass.
    curve = roc_curve(signal, background, np.array([0.1, 0.5, 1.0]))
    assert np.isnan(curve.value[0]) and curve.value[1:].tolist() == [4.0, 1.0]
    # None of four: (1 - 1/r)^4 = 0.05.
    assert (1 - 1 / curve.low[0]) ** 4 == pytest.approx(0.05) and np.isnan(curve.high[0])


def test_fraction_scan_by_hand():
    def score(fraction):
        # Half of the signal is above 2; light jets move up with the fraction, c jets down.
        light, charm = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 3.0])
        return {"b": np.arange(5.0), "u": light + 4 * fraction, "c": charm - 2 * fraction}

    curves = fraction_scan(score, "b", np.array([0.0, 1.0]), 0.6)
    np.testing.assert_array_equal(curves["u"].value, [2, 1])
    np.testing.assert_array_equal(curves["c"].value, [2, np.nan])


@pytest.fixture
def make_section(setting):
    def make(setting=setting, task="jet_class", baseline=None):
        (found,) = (t for t in setting.tasks if t.name == task)
        return TaggingSection(setting._replace(baseline=baseline), found)

    return make


@pytest.fixture
def section(make_section):
    """A section with the jets of `probabilities`, in two unequal chunks, of pT 25, 35, 50 GeV."""
    return filled(make_section(), *probabilities())


def filled(section, label, prob, name="jet_class"):
    pt = np.array([25e3, 35e3, 50e3])[np.arange(len(label)) // 3 % 3]
    labels = {"jet_class": "flavour", "charm": "is_charm"}
    for rows in (slice(0, 1000), slice(1000, None)):
        jets = np.rec.fromarrays([pt[rows]], names=["pt_btagJes"])
        confusion = np.zeros((prob.shape[1],) * 2)
        section.add(
            Chunk(
                types.SimpleNamespace(jets=jets, streams={}),
                {labels[name]: label[rows]},
                {name: {"log_prob": np.log(prob[rows])}},
                {name: {"confusion": confusion}},
                {},
                {},
            )
        )
    return section


@pytest.mark.parametrize(
    ("name", "signal", "other", "target"), [("b", 0, "cjets", "0.7"), ("c", 1, "bjets", "0.3")]
)
def test_working_points_of_the_section(section, name, signal, other, target):
    label, prob = probabilities()
    fraction = {"b": 0.1, "c": 0.2}[name]
    background = fraction * prob[:, 1 - signal] + (1 - fraction) * prob[:, 2]
    score = np.log(prob[:, signal] / background)
    table = section.part().table(f"{name}_tagging")
    assert f"D_{name} with f_{other[0]} = {fraction}" in table.title
    cut = table.get(target, "cut").value
    obtained = table.get(target, "obtained").value
    assert obtained == pytest.approx(100 * np.mean(score[label == signal] >= cut))
    assert obtained == pytest.approx(100 * float(target), abs=0.2)
    for flavour, index in (("ujets", 2), (other, 1 - signal)):
        passes = score[label == index] >= cut
        found = table.get(target, flavour)
        passed = 0 if found.is_limit else len(passes) / found.value
        assert abs(passed - passes.sum()) < 1.01


def curve(part, figure, name="", tagger="curves"):
    (found,) = (c for c in getattr(part, tagger) if (c.figure, c.name) == (figure, name))
    return found.points


def test_curves_agree_with_the_working_points(section):
    """At 70 %: the ROC curve, the scan at f_c = 0.1, and all bins of pT together."""
    part = section.part()
    table = part.table("b_tagging")
    light, efficiency = table.get("0.7", "ujets").value, table.get("0.7", "obtained").value
    roc = curve(part, "roc_b", "ujets")
    assert roc.value[np.argmin(np.abs(roc.x - 0.7))] == light
    scan = curve(part, "fraction_scan_b", "ujets")
    assert scan.value[np.argmin(np.abs(scan.x - 0.1))] == light
    against = curve(part, "rejection_pt_b_ujets")
    filled_bins = np.isfinite(against.value)
    assert against.x[:-1][filled_bins].tolist() == [20, 30, 40]
    # The light jets are about equally many in the three bins.
    assert np.mean(1 / against.value[:3]) == pytest.approx(1 / light, rel=0.02)
    passing = curve(part, "efficiency_pt_b_bjets").value[:3]
    assert 100 * np.mean(passing) == pytest.approx(efficiency, rel=0.02)
    jets = part.table("flavour").get("ujets", "jets").value
    assert curve(part, "discriminant_b", "ujets").value.sum() == jets


def test_baseline_joins_the_discriminants_of_its_signal(config, make_section):
    baseline = Baseline(config.evaluation.baseline, np.zeros((40, 40)))
    baseline.score = lambda records, valid: np.arange(len(records.jets))
    part = filled(make_section(baseline=baseline), *probabilities()).part()
    columns = {name: list(part.table(f"{name}_tagging").columns)[2:] for name in "bc"}
    own = ["ujets", "ujets_baseline", "cjets", "cjets_baseline"]
    assert columns == {"b": own, "c": ["ujets", "bjets"]}
    # The network alone is compared.
    assert {column for column, _ in part.table("b_tagging").compared()} == {"ujets", "cjets"}
    assert {c.figure[:9] for c in part.baseline} == {"roc_b", "discrimin", "rejection", "efficienc"}
    assert curve(part, "discriminant_b", "ujets", "baseline").value.sum() > 600


@pytest.mark.parametrize(("missing", "points"), [(0, ["c"]), (1, ["b"]), (2, ["b", "c"])])
def test_without_a_class_there_are_no_curves(make_section, missing, points):
    label, prob = probabilities(300)
    part = filled(make_section(), np.where(label == missing, -1, label), prob).part()
    assert part.curves == []
    tables = {name: part.table(f"{name}_tagging") for name in "bc"}
    assert [name for name, table in tables.items() if table.rows] == points
    # A rejection of no jets is absent.
    gone = "bcu"[missing] + "jets"
    assert all(table.get(row, gone) is None for table in tables.values() for row in table.rows)


def test_each_task_has_the_discriminants_of_its_classes(make_configs, make_setting, make_section):
    """One background has no fraction to scan; working points below 0.1 are on the ROC curve."""
    setting = make_setting(make_configs(CHARM))
    label, prob = probabilities()
    prob = np.stack([prob[:, 1], 1 - prob[:, 1]], axis=1)
    label = np.where(label < 0, -1, (label != 1).astype(int))
    part = filled(make_section(setting, "charm"), label, prob, "charm").part()
    assert [table.name for table in part.tables] == ["is_charm", "x_tagging"]
    assert part.table("is_charm").get("unlabelled", "jets").value == np.sum(label < 0)
    assert not any(c.kind == "scan" for c in part.curves)
    roc = curve(part, "roc_x", "other")
    at = np.argmin(np.abs(roc.x - 0.5))
    found = part.table("x_tagging").get("0.5", "other").value
    assert roc.x[0] < 0.05 and roc.value[at] == pytest.approx(found)
