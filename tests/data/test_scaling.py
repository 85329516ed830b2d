"""Transforms, statistics of the training file, and what is refused."""

import dataclasses

import numpy as np
import pytest
import yaml

from maskformer_jax.data import TRANSFORMS, Scaling, fit_scaling, fitting
from maskformer_jax.data.config import TransformConfig
from maskformer_jax.errors import InputError

NORM = {"tracks": {"d0": {"mean": 3.0, "std": 4.0}}, "truth_hadrons": {"pt": {"mean": 1, "std": 2}}}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("scale", [1.0, 250.0])
def test_inverse_undoes_forward(name, scale):
    x = np.array([0.001, 0.7, 30.0, 5e5])
    y = TRANSFORMS[name].forward(x, scale)
    np.testing.assert_allclose(TRANSFORMS[name].inverse(y, scale), x, rtol=1e-12)
    assert (np.diff(y) > 0).all()


def test_transforms_by_hand():
    x = np.array([2.0])
    found = {name: TRANSFORMS[name].forward(x, 4.0)[0] for name in TRANSFORMS}
    expected = {
        "identity": 2.0,
        "log": np.log(0.5),
        "log1p": np.log(1.5),
        "asinh": np.log(0.5 + np.sqrt(1.25)),
    }
    assert found == pytest.approx(expected)


def test_every_transform_of_the_config_is_there():
    names = TransformConfig.__annotations__["name"].__args__
    assert set(TRANSFORMS) == set(names)


def real(tables, schema, jets):
    """Jets, tracks below the cap and hadrons of the first `jets` rows, by NumPy alone."""
    tracks = tables["tracks"][:jets, : schema.streams["tracks"].cap]
    hadrons = tables["truth_hadrons"][:jets, : schema.objects["hadrons"].cap]
    return tables["jets"][:jets], tracks[tracks["valid"]], hadrons[hadrons["valid"]]


@pytest.mark.parametrize("num_jets", [None, 23])
def test_statistics_are_those_of_the_real_entries(tables, opened, schema, monkeypatch, num_jets):
    monkeypatch.setattr(fitting, "FIT_ROWS", 7)
    scaling = fit_scaling(opened(tables), num_jets=num_jets)
    jets, tracks, hadrons = real(tables, schema, num_jets)
    for part, columns in (
        (scaling.jets, [jets["pt"], jets["eta"]]),
        (scaling.streams["tracks"], [tracks["d0"], tracks["qOverP"], tracks["hits"]]),
        (scaling.targets["properties"], [np.log(hadrons["pt"] / 1000.0), np.log1p(hadrons["Lxy"])]),
    ):
        columns = [column.astype(np.float64) for column in columns]
        np.testing.assert_allclose(part.mean, [c.mean() for c in columns], rtol=1e-6)
        np.testing.assert_allclose(part.std, [c.std() for c in columns], rtol=1e-6)


def test_a_large_mean_does_not_cancel_a_small_spread(tables, opened, monkeypatch):
    monkeypatch.setattr(fitting, "FIT_ROWS", 7)
    dtype = [("pt", "f8"), ("eta", "f4"), ("flavour_label", "i1")]
    tables["jets"] = tables["jets"].astype(dtype)
    tables["jets"]["pt"] = 1e9 + np.arange(50) % 2
    scaling = fit_scaling(opened(tables))
    assert scaling.jets.std[0] == pytest.approx(0.5, rel=1e-6)


def test_unlabelled_jets_do_not_count(tables, opened):
    expected = fit_scaling(opened({name: table[5:] for name, table in tables.items()}))
    tables["jets"]["flavour_label"][:5] = 15
    tables["jets"]["pt"][0] = np.nan
    found = fit_scaling(opened(tables))
    np.testing.assert_allclose(found.jets.mean, expected.jets.mean, rtol=1e-12)
    np.testing.assert_allclose(
        found.streams["tracks"].std, expected.streams["tracks"].std, rtol=1e-12
    )
    np.testing.assert_allclose(
        found.targets["properties"].std, expected.targets["properties"].std, rtol=1e-12
    )


def test_given_statistics_replace_those_of_fields_without_transform(tables, opened, tmp_path):
    (tmp_path / "norm.yaml").write_text(yaml.safe_dump(NORM))
    computed = fit_scaling(opened(tables))
    given = fit_scaling(opened(tables), norm_file=str(tmp_path / "norm.yaml"))
    assert (given.streams["tracks"].mean[0], given.streams["tracks"].std[0]) == (3.0, 4.0)
    np.testing.assert_array_equal(
        given.streams["tracks"].mean[1:], computed.streams["tracks"].mean[1:]
    )
    np.testing.assert_array_equal(
        given.targets["properties"].mean, computed.targets["properties"].mean
    )


def test_missing_norm_file_is_refused(tables, opened, tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        fit_scaling(opened(tables), norm_file=str(tmp_path / "none.yaml"))


# Change of the tables -> what the message must say; jets of row 5 have five tracks.
BAD = {
    "nan track": (
        lambda t: t["tracks"]["d0"].__setitem__((5, 2), np.nan),
        r"field `d0` of dataset `tracks` is nan in row 5;",
    ),
    "two, the second field first": (
        lambda t: (
            t["jets"]["pt"].__setitem__(9, np.nan),
            t["jets"]["eta"].__setitem__(8, np.nan),
        ),
        r"field `eta` of dataset `jets` is nan in row 8;",
    ),
    "infinite track": (
        lambda t: t["tracks"]["qOverP"].__setitem__((10, 0), np.inf),
        r"field `qOverP` of dataset `tracks` is inf in row 10;",
    ),
    "nan jet": (
        lambda t: t["jets"]["eta"].__setitem__(17, np.nan),
        r"field `eta` of dataset `jets` is nan in row 17;",
    ),
    "nan target": (
        lambda t: t["truth_hadrons"]["Lxy"].__setitem__((7, 1), np.nan),
        r"field `Lxy` of dataset `truth_hadrons` is nan in row 7;",
    ),
    "domain": (
        lambda t: t["truth_hadrons"]["pt"].__setitem__((7, 2), 0),
        r"field `pt` of dataset `truth_hadrons` is 0\.0 in row 7, outside .* transform `log`",
    ),
    "constant": (
        lambda t: t["tracks"]["hits"].__setitem__(..., 3),
        r"field `hits` of dataset `tracks` has zero spread, its mean is 3",
    ),
    "no tracks": (
        lambda t: t["tracks"]["valid"].__setitem__(..., False),
        r"dataset `tracks` has no real entry in the jets that are kept",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_with_field_file_and_row(case, tables, opened):
    change, message = BAD[case]
    change(tables)
    with pytest.raises(InputError, match=message) as caught:
        fit_scaling(opened(tables))
    assert "\n" not in str(caught.value) and "jets0.h5" in str(caught.value)


def test_values_of_padding_do_not_matter(tables, opened):
    expected = fit_scaling(opened(tables))
    tables["tracks"]["d0"][~tables["tracks"]["valid"]] = np.inf
    tables["truth_hadrons"]["pt"][~tables["truth_hadrons"]["valid"]] = -1
    np.testing.assert_array_equal(
        fit_scaling(opened(tables)).streams["tracks"].mean, expected.streams["tracks"].mean
    )


def test_targets_return_to_physical_units(tables, opened):
    scaling = fit_scaling(opened(tables))
    hadrons = tables["truth_hadrons"][tables["truth_hadrons"]["valid"]]
    values = scaling.targets["properties"].standardise(hadrons, np.arange(len(hadrons)), "")
    assert values.dtype == np.float32
    physical = scaling.to_physical("properties", values.reshape(-1, 1, 2))[:, 0]
    np.testing.assert_allclose(physical[:, 0], hadrons["pt"], rtol=1e-5)
    np.testing.assert_allclose(physical[:, 1], hadrons["Lxy"], rtol=1e-4, atol=1e-5)


def test_saved_scaling_is_read_back_exactly(tables, opened, tmp_path):
    scaling = fit_scaling(opened(tables))
    scaling.save(tmp_path / "normalisation.yaml")
    found = Scaling.load(tmp_path / "normalisation.yaml")
    for (name, before), (other, after) in zip(scaling.parts(), found.parts(), strict=True):
        assert name == other and before[:4] == after[:4] and before[6] == after[6]
        np.testing.assert_array_equal(before.mean, after.mean)
        np.testing.assert_array_equal(before.std, after.std)


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "no such file"),
        ("jets: [", "normalisation.yaml, line 1: expected"),
        ("jets: {}", "`jets.dataset` must be given"),
        ("3", "must hold a mapping; got a int"),
    ],
)
def test_damaged_scaling_is_refused(text, message, tmp_path):
    if text is not None:
        (tmp_path / "normalisation.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Scaling.load(tmp_path / "normalisation.yaml")
    assert "\n" not in str(caught.value)


def test_inputs_may_be_transformed(tables, opened, change):
    schema = change(tracks={"transforms": {"d0": TransformConfig("asinh", 10.0)}})
    scaling = fit_scaling(opened(tables, schema))
    _, tracks, _ = real(tables, schema, None)
    expected = np.arcsinh(tracks["d0"].astype(np.float64) / 10)
    assert scaling.streams["tracks"].mean[0] == pytest.approx(expected.mean(), rel=1e-6)
    assert dataclasses.asdict(scaling.streams["tracks"].transforms[0]) == {
        "name": "asinh",
        "scale": 10.0,
    }
