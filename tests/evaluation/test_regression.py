import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from maskformer_jax.data.config import TransformConfig
from maskformer_jax.evaluation.regression import BINS, build
from maskformer_jax.evaluation.residuals import definitions, formula, residuals
from maskformer_jax.evaluation.section import Chunk

TRANSFORMS = {
    "pt": TransformConfig("log", 1000.0),
    "Lxy": TransformConfig("log1p", 1.0),
    "deta": TransformConfig(),
}
LABEL = "hadrons.regression"


def test_the_transform_says_which_residuals_a_target_has():
    chosen = definitions({
        "energy": TransformConfig("log", 1000.0),
        "depth": TransformConfig("log1p", 2.0),
        "slope": TransformConfig("asinh", 0.1),
    })  # fmt: skip
    assert {name: formula(definition, "mm") for name, definition in chosen.items()} == {
        "energy": "energy: (true - predicted)/true",
        "depth": "depth: (true - predicted)/true, true > 2 mm",
        "depth_below_scale": "depth: true - predicted, true <= 2 mm [mm]",
        "slope": "slope: (true - predicted)/true",
        "slope_absolute": "slope: true - predicted [mm]",
    }


@pytest.mark.parametrize(
    ("name", "predicted", "true", "expected"),
    [
        ("pt", [12e3, 9e3, 7e3], [10e3, 10e3, 8e3], [-0.2, 0.1, 0.125]),
        # The second hadron flew exactly 1 mm, the third less.
        ("Lxy", [3.0, 5.0, 1.0], [2.0, 1.0, 0.5], [-0.5]),
        ("Lxy_below_scale", [3.0, 5.0, 1.0], [2.0, 1.0, 0.5], [-4.0, -0.5]),
        ("deta", [0.3, 0.0, 0.1], [0.1, -0.2, 0.0], [-2.0, 1.0]),
        ("deta_absolute", [0.3, 0.0, 0.1], [0.1, -0.2, 0.0], [-0.2, -0.2, -0.1]),
    ],
)
def test_residuals_by_hand(name, predicted, true, expected):
    definition = definitions(TRANSFORMS)[name]
    result = residuals(np.array(predicted), np.array(true), definition)
    np.testing.assert_allclose(result, expected, atol=1e-12)


def make_section(setting, **fields):
    """Of the objects, with other names of fields."""
    evaluation = setting.config.evaluation
    fields = dataclasses.replace(evaluation.fields, **fields)
    evaluation = dataclasses.replace(evaluation, fields=fields)
    config = dataclasses.replace(setting.config, evaluation=evaluation)
    task = next(task for task in setting.tasks if task.name == "hadrons")
    return build(setting._replace(config=config), task)


def make_chunk(jets, pt_field="pt", seed=0):
    """Two slots, the file has one hadron more; the true pT is 12 or 60 GeV, predictions 10 % up."""
    generator = np.random.default_rng(seed)
    valid = np.arange(2) < generator.integers(0, 3, jets)[:, None]
    none = generator.choice([0.2, 0.5, 0.9], (jets, 2))
    true = np.stack(
        [
            generator.choice([12e3, 60e3], (jets, 2)),
            generator.uniform(0, 4, (jets, 2)),
            generator.normal(0, 0.06, (jets, 2)),
        ],
        axis=-1,
    )
    predicted = true * [1.1, 1.2, 1.0] + [0, 0, 0.01]
    hadrons = np.full((jets, 3), np.nan, [(pt_field, "f4")])
    hadrons[pt_field][:, :2] = np.where(valid, true[..., 0], np.nan)
    return Chunk(
        records=SimpleNamespace(
            jets=np.zeros(jets, [("pt_btagJes", "f4")]), objects={"hadrons": hadrons}
        ),
        labels={"hadrons": SimpleNamespace(valid=valid), LABEL: true},
        predictions={
            "hadrons": {"class_prob": np.stack([1 - none, none], axis=-1), "regression": predicted}
        },
        counts={},
        predicted={LABEL: predicted},
        true={LABEL: true},
    )


@pytest.fixture(scope="module")
def section(setting):
    """Filled with two chunks."""
    section = make_section(setting)
    section.add(make_chunk(300))
    section.add(make_chunk(200, seed=1))
    return section


def test_hadrons_whose_object_is_less_likely_none_count(section):
    chunks = [make_chunk(300), make_chunk(200, seed=1)]
    part = section.part()
    widths, moments = part.table("residual_widths"), part.table("residual_moments")
    valid = [chunk.labels["hadrons"].valid for chunk in chunks]
    none = [chunk.predictions["hadrons"]["class_prob"][..., -1] for chunk in chunks]
    found = [a & (b < 0.5) for a, b in zip(valid, none, strict=True)]
    number, total = (sum(x.sum() for x in part) for part in (found, valid))
    share = part.table("hadrons_found").cells["found"]
    assert share["of"].value == total > number
    assert share["share"].value == pytest.approx(100 * number / total)
    assert widths.get("pt", "number").value == number
    assert moments.get("pt", "mean").value == pytest.approx(-0.1, rel=1e-5)
    assert moments.get("pt", "std").value == pytest.approx(0, abs=1e-6)
    length = np.concatenate([c.true[LABEL][..., 1][f] for c, f in zip(chunks, found, strict=True)])
    assert widths.get("Lxy", "number").value == np.sum(length > 1)
    short, number = (widths.get("Lxy_below_scale", x) for x in ("median", "number"))
    assert number.value == np.sum(length <= 1) and short.unit == "mm"
    assert widths.rows["Lxy_below_scale"] == "Lxy: true - predicted, true <= 1 mm [mm]"
    assert short.value == pytest.approx(np.median(-0.2 * length[length <= 1]), rel=1e-5)
    width = widths.get("Lxy_below_scale", "half_width_68")
    assert width.error == pytest.approx(0.96 * width.value / np.sqrt(np.sum(length <= 1)))
    assert widths.get("deta_absolute", "median").value == pytest.approx(-0.01, rel=1e-4)


def curves(section, figure):
    return {c.name: c.points for c in section.part().curves if c.figure == figure}


def test_histograms_hold_every_residual(section):
    table, histograms = section.part().table("residual_widths"), curves(section, "residuals")
    assert set(histograms) == set(table.rows)
    for name, curve in histograms.items():
        assert curve.value.sum() == table.get(name, "number").value and len(curve.x) == BINS + 1
    # Twice the half 68 % width of the true deta, rounded up, whatever is found.
    assert histograms["deta_absolute"].x[-1] == pytest.approx(0.2)


def test_response_in_bins_of_true_pt(section):
    response = curves(section, "response")
    kinds = ("median", "half_width_68")
    assert list(response) == [f"{kind} {name}" for kind in kinds for name in ("pt", "Lxy")]
    median, half = response["median pt"], response["half_width_68 pt"]
    filled = np.isfinite(median.value)
    np.testing.assert_array_equal(median.x[:-1][filled], [10, 50])
    np.testing.assert_allclose(median.value[filled], 1.1, rtol=1e-6)
    np.testing.assert_allclose(half.value[filled], 0, atol=1e-6)
    np.testing.assert_allclose(response["median Lxy"].value[filled], 1.2, rtol=1e-6)


def test_a_file_without_pt_has_no_response(setting):
    section = make_section(setting)
    section.add(make_chunk(50, pt_field="momentum"))
    assert curves(section, "response") == {}
    named = make_section(setting, hadron_pt="momentum")
    named.add(make_chunk(300, pt_field="momentum"))
    assert len(curves(named, "response")) == 4


def test_nothing_found(setting):
    section, nothing = make_section(setting), make_chunk(20)
    nothing.predictions["hadrons"]["class_prob"] = np.broadcast_to([0.1, 0.9], (20, 2, 2))
    section.add(nothing)
    part = section.part()
    share = part.table("hadrons_found").get("found", "share")
    assert share.remark == "upper limit" and not part.curves
    assert part.table("residual_widths").get("pt", "median") is None


def test_jets_and_constituents_without_padding_and_nan(edges_config, make_setting):
    """Of three jets with two places for tracks: one track's target is NaN, one place is empty."""
    setting = make_setting(edges_config)
    energy, size = (
        build(setting, task) for task in setting.tasks if task.options.kind == "regression"
    )
    index = np.array([[0, 1], [0, -1], [0, 1]])
    jets = np.array([(2e4,), (3e4,), (4e4,)], [("pt_btagJes", "f4")])
    records = SimpleNamespace(jets=jets, streams={"tracks": SimpleNamespace(index=index)})
    pt, d0 = np.array([[1e3], [2e3], [4e3]]), np.ones((3, 2, 1))
    d0[2, 1] = np.nan
    predicted, true = {"energy": 1.5 * pt, "size": 0.5 * d0}, {"energy": pt, "size": d0}
    values = {name: {"values": x} for name, x in predicted.items()}
    chunk = Chunk(records, true, values, {}, predicted, true)
    for section in (energy, size):
        section.add(chunk)
    part = energy.part()
    moments = part.table("residual_moments")
    assert moments.columns["number"] == "jets" and moments.get("pt", "number").value == 3
    assert moments.get("pt", "mean").value == pytest.approx(-0.5)
    assert curves(energy, "response")["median pt"].x[0] == 5
    found = size.part().table("residual_widths")
    assert found.columns["number"] == "tracks" and found.get("d0", "number").value == 4
    assert found.get("d0_absolute", "median").value == pytest.approx(0.5)
    assert build(setting._replace(labels=()), setting.tasks[-1]) is None
