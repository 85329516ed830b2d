import dataclasses

import numpy as np
import pytest

from maskformer_jax.data import JetFile
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.baseline import BINS, LAST_EDGE, Baseline, fit_baseline, fits

SIGNIFICANCES = ["IP3D_signed_d0_significance", "IP3D_signed_z0_significance"]


@pytest.fixture
def options(config):
    return config.evaluation.baseline


@pytest.fixture
def opened(write_tables, setting):
    files = []

    def open_tables(tables):
        files.append(JetFile(write_tables(tables), setting.schema))
        return files[-1]

    yield open_tables
    for file in files:
        file.close()


def test_baseline_separates_displaced_jets(options, opened, make_tables):
    file = opened(make_tables(300))
    score = fit_baseline(file, options).score(file.read(0, 300), "valid")
    tracks = file.read(0, 300).streams["tracks"].table["valid"].sum(axis=1)
    b, light = (score[(file.classes()["flavour"] == label) & (tracks > 3)] for label in (0, 2))
    assert np.mean(b > 0) > 0.95 and np.mean(light < 0) > 0.95


def test_jet_without_tracks_scores_zero(options, opened, make_tables):
    file = opened(make_tables(300))
    records = file.read(0, 300)
    score = fit_baseline(file, options).score(records, "valid")
    empty = ~records.streams["tracks"].table["valid"].any(axis=1)
    assert empty.any() and np.all(score[empty] == 0) and np.all(score[~empty] != 0)


def test_score_is_the_log_ratio_of_two_known_densities(options, opened, make_tables):
    # With uniform significances inside one bin against two bins, b gets the ratio of 2 there.
    tables = make_tables(3000)
    tracks, label = tables["tracks"], tables["jets"]["flavour_label"]
    tracks[SIGNIFICANCES[1]] = np.where(tracks["valid"], 0.5, np.nan)
    generator = np.random.default_rng(0)
    side = np.where(label == 2, generator.choice([-30, 30], len(label)), 30)[:, None]
    tracks[SIGNIFICANCES[0]] = np.where(tracks["valid"], side, np.nan)
    file = opened(tables)
    records = file.read(0, 3000)
    score = fit_baseline(file, options).score(records, "valid")
    ones = (records.streams["tracks"].table["valid"].sum(axis=1) == 1) & (side[:, 0] > 0)
    np.testing.assert_allclose(score[ones], np.log(2), atol=0.15)


def test_significances_beyond_the_last_edge_count_in_the_last_bin(options, opened, make_tables):
    file = opened(make_tables(300))
    baseline = fit_baseline(file, options)
    records = file.read(0, 300)
    scores = []
    for value in (LAST_EDGE * 0.99, 60_000.0):
        records.streams["tracks"].table[SIGNIFICANCES[0]][
            records.streams["tracks"].table["valid"]
        ] = value
        scores.append(baseline.score(records, "valid"))
    np.testing.assert_array_equal(*scores)


def test_only_the_first_jets_are_used(options, opened, make_tables):
    file = opened(make_tables(300))
    some = fit_baseline(file, options, num_jets=90)
    alone = fit_baseline(opened(make_tables(300)), options, num_jets=90)
    np.testing.assert_array_equal(some.log_ratio, alone.log_ratio)
    assert np.any(some.log_ratio != fit_baseline(file, options).log_ratio)


def test_templates_survive_saving(options, opened, tmp_path, make_tables):
    baseline = fit_baseline(opened(make_tables(300)), options)
    baseline.save(tmp_path / "baseline.npz")
    restored = Baseline.load(tmp_path / "baseline.npz", options)
    assert restored.config == options
    np.testing.assert_array_equal(restored.log_ratio, baseline.log_ratio)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_damaged_templates_are_refused(options, tmp_path, content):
    (tmp_path / "baseline.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"baseline\.npz: not a file of baseline templates"):
        Baseline.load(tmp_path / "baseline.npz", options)


def test_templates_of_another_binning_are_refused(options, tmp_path):
    Baseline(options, np.zeros((BINS + 1, BINS + 1))).save(tmp_path / "baseline.npz")
    with pytest.raises(InputError, match=f"must be {BINS} x {BINS}"):
        Baseline.load(tmp_path / "baseline.npz", options)


def test_missing_field_is_named_with_the_cure(options, opened, make_tables):
    file = opened(make_tables())
    with pytest.raises(InputError, match=r"no field `ip`.*they have d0.*baseline.fields"):
        fit_baseline(file, dataclasses.replace(options, fields=["ip", SIGNIFICANCES[0]]))


def test_field_that_is_not_finite_is_named_with_its_row(options, opened, make_tables):
    tables = make_tables()
    jet = np.flatnonzero(tables["tracks"]["valid"].any(axis=1))[7]
    column = np.flatnonzero(tables["tracks"]["valid"][jet])[0]
    tables["tracks"][SIGNIFICANCES[1]][jet, column] = np.inf
    with pytest.raises(InputError, match=f"`{SIGNIFICANCES[1]}` of tracks of row {jet} is inf"):
        fit_baseline(opened(tables), options)


def test_file_without_light_jets_is_refused(options, opened, make_tables):
    tables = make_tables()
    tables["jets"]["flavour_label"] = 0
    with pytest.raises(InputError, match="no track of ujets in 60 jets, so that"):
        fit_baseline(opened(tables), options)


def test_a_baseline_without_its_classes_is_left_out(options, config):
    assert fits(options, config.data, ["flavour"]) and not fits(None, config.data, ["flavour"])
    assert not fits(options, config.data, ["origin"])
    assert not fits(dataclasses.replace(options, signal="hbb"), config.data, ["flavour"])
    assert not fits(dataclasses.replace(options, stream="flow"), config.data, ["flavour"])
