"""Flavours get the same kinematics, without a jet being used twice."""

import numpy as np
import pytest

from maskformer_jax.simulation import resampling
from maskformer_jax.simulation.config import BalanceConfig

BALANCE = BalanceConfig(pt_edges=[20.0, 40.0, 80.0, 200.0], eta_edges=[0.0, 1.0, 2.5])


@pytest.fixture(scope="module")
def jets():
    """b, c and light jets whose spectra and numbers differ, a few outside of all cells."""
    rng = np.random.default_rng(1)
    flavour = rng.choice(3, 20_000, p=[0.35, 0.12, 0.53])
    pt = 20_000 + 1000 * rng.exponential(np.array([45.0, 38.0, 30.0])[flavour])
    table = np.zeros(
        len(flavour), [("pt_btagJes", "f4"), ("eta_btagJes", "f4"), ("flavour_label", "i1")]
    )
    table["pt_btagJes"], table["flavour_label"] = pt, flavour
    table["eta_btagJes"] = rng.uniform(-1, 1, len(flavour)) * np.array([2.2, 2.5, 2.5])[flavour]
    return table


def test_cells_are_those_of_a_histogram(jets):
    counts = resampling.count(jets, BALANCE)
    for flavour in range(3):
        part = jets[jets["flavour_label"] == flavour]
        expected, _, _ = np.histogram2d(
            part["pt_btagJes"] / 1000,
            np.abs(part["eta_btagJes"]),
            [BALANCE.pt_edges, BALANCE.eta_edges],
        )
        assert (counts[flavour, :-1] == expected.ravel()).all()
        assert counts[flavour].sum() == len(part)


def test_resampling_flattens_the_ratios(jets):
    counts, cell = resampling.count(jets, BALANCE), resampling.cells(jets, BALANCE)
    wanted = 1500
    chosen = resampling.choose(jets["flavour_label"], cell, counts, wanted, seed=5)
    kept = resampling.count(jets[chosen], BALANCE)
    assert (kept.sum(axis=1) == wanted).all()
    assert (kept[0] == kept[1]).all() and (kept[1] == kept[2]).all() and (kept[:, -1] == 0).all()
    shape = kept[1, :-1] / wanted
    rarest = counts[:, :-1].min(axis=0)
    np.testing.assert_allclose(shape, rarest / rarest.sum(), atol=1.01 / wanted)
    # Inside of the cells the draw is even: the first half of the jets is not preferred.
    half = chosen[: len(chosen) // 2].sum() / chosen.sum()
    assert half == pytest.approx(0.5, abs=0.03)


def test_the_draw_depends_on_the_seed_alone(jets):
    counts, cell = resampling.count(jets, BALANCE), resampling.cells(jets, BALANCE)
    draws = [resampling.choose(jets["flavour_label"], cell, counts, 900, s) for s in (1, 1, 2)]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


@pytest.mark.parametrize("wanted", [1, 7, 100, 600])
def test_quotas_sum_to_what_is_wanted(wanted):
    rng = np.random.default_rng(wanted)
    counts = rng.integers(0, 60, (3, 41))
    counts[:, :-1] += 15
    quota = resampling.quotas(counts, wanted)
    assert quota.sum() == wanted
    assert (quota <= counts[:, :-1].min(axis=0)).all()


def test_everything_that_is_available_can_be_taken(jets):
    counts = resampling.count(jets, BALANCE)
    most = resampling.available(counts, "balanced")
    assert most == 3 * counts[:, :-1].min(axis=0).sum()
    assert (resampling.quotas(counts, most // 3) == counts[:, :-1].min(axis=0)).all()
    assert resampling.available(counts, "natural") == len(jets)


@pytest.mark.parametrize(("flavours", "size"), [("natural", 100), ("balanced", 102)])
def test_size_of_a_file(flavours, size):
    assert resampling.size_of(100, flavours) == size
