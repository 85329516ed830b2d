"""Jets, hits, efficiency, resolution, material and the numbers of the physics behind them."""

import numpy as np
import pytest

from maskformer_jax.simulation import candidates, detector, jets, material, tables, truth
from maskformer_jax.simulation.config import (
    JetFindingConfig,
    MaterialConfig,
    ResolutionConfig,
    SimulationConfig,
    TrackerConfig,
)
from maskformer_jax.simulation.events import wrapped
from maskformer_jax.simulation.helix import Perigee

TRACKER, SHAPE = TrackerConfig(), ResolutionConfig()
MANY = 40_000


def anti_kt(particles, radius):
    """Momenta of the anti-kt jets of `particles [n, 4]`, one merging after the other."""
    left, found = list(particles), []
    while left:
        momentum = np.array(left)
        pt2 = momentum[:, 0] ** 2 + momentum[:, 1] ** 2
        rapidity = 0.5 * np.log(
            (momentum[:, 3] + momentum[:, 2]) / (momentum[:, 3] - momentum[:, 2])
        )
        phi = np.arctan2(momentum[:, 1], momentum[:, 0])
        apart = (rapidity[:, None] - rapidity) ** 2 + wrapped(phi[:, None] - phi) ** 2
        distance = np.minimum(1 / pt2[:, None], 1 / pt2) * apart / radius**2
        np.fill_diagonal(distance, 1 / pt2)
        i, j = np.unravel_index(np.argmin(distance), distance.shape)
        if i == j:
            found.append(left.pop(i))
        else:
            merged = left[i] + left[j]
            left = [p for k, p in enumerate(left) if k not in (i, j)] + [merged]
    return np.array(found)


def test_jets_are_those_of_anti_kt():
    rng = np.random.default_rng(1)
    config = JetFindingConfig(min_pt=1.0)
    pt, eta = rng.exponential(5.0, 60), rng.uniform(-2, 2, 60)
    phi = rng.uniform(-3.2, 3.2, 60)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    energy = np.sqrt((momentum**2).sum(axis=1) + 0.02)
    event, found = jets.cluster(momentum, energy, np.array([25, 0, 35]), config)
    parts = np.split(np.concatenate([momentum, energy[:, None]], axis=1), [25])
    for number, part in ((0, parts[0]), (2, parts[1])):
        expected = anti_kt(part, 0.4)
        expected = expected[np.hypot(expected[:, 0], expected[:, 1]) > 0.5]
        mine = found[event == number]
        order, other = np.argsort(mine[:, 3]), np.argsort(expected[:, 3])
        np.testing.assert_allclose(mine[order], expected[other], rtol=1e-10)


def test_prompt_electrons_muons_and_neutrinos_are_not_in_jets(decay_chain):
    zero = (0, 0, 0)
    particles = decay_chain(
        [
            (24, None, 80.0, 0.0, 0.0, zero),
            (-11, 0, 40.0, 0.0, 0.0, zero),
            (12, 0, 40.0, 0.0, 0.0, zero),
            (15, None, 40.0, 0.0, 0.0, zero),
            (11, 3, 20.0, 0.0, 0.0, zero),
            (511, None, 40.0, 0.0, 0.0, zero),
            (-11, 5, 20.0, 0.0, 0.0, zero),
            (-13, 5, 20.0, 0.0, 0.0, zero),
            (22, None, 9.0, 0.0, 0.0, zero),
            (211, None, 9.0, 4.5, 0.0, zero),
        ]
    )
    assert np.flatnonzero(jets.visible(particles, 4.0)).tolist() == [6, 8]


def test_the_nearest_jet_is_the_nearest():
    rng = np.random.default_rng(2)
    event = np.sort(rng.integers(0, 6, 30))
    first = np.searchsorted(event, np.arange(7))
    found = jets.Jets(
        event, np.ones(30), rng.uniform(-1, 1, 30), rng.uniform(-3.1, 3.1, 30), np.ones(30), first
    )
    where, eta, phi = rng.integers(0, 6, 500), rng.uniform(-1, 1, 500), rng.uniform(-3.1, 3.1, 500)
    apart = np.hypot(eta[:, None] - found.eta, wrapped(phi[:, None] - found.phi))
    apart[where[:, None] != event] = np.inf
    expected = np.where(apart.min(axis=1) < 0.4, apart.argmin(axis=1), -1)
    assert (jets.nearest_jet(found, where, eta, phi, 0.4) == expected).all()


def tracks_of(pt, eta=0.0, radius=0.0, electron=False, size=1, d0=0.0):
    one = np.ones(size)
    shape = Perigee(d0 * one, 0 * one, 0.3 * one, eta * one, one / pt)
    return candidates.Candidates(
        source=np.full(size, candidates.HARD),
        event=np.zeros(size, int),
        perigee=shape,
        radius=radius * one,
        electron=np.full(size, electron),
        particle=np.zeros(size, int),
        vertex=np.zeros((size, 3)),
    )


# By hand from the formula in the docstring of the configuration.
EFFICIENCIES = [
    (100.0, 0.0, 0.0, False, 0.94),
    (0.5, 0.0, 0.0, False, 0.94 * 0.75),
    (0.9, 0.0, 0.0, False, 0.94 * (1 - 0.25 * np.exp(-1))),
    (100.0, 2.5, 0.0, False, 0.94 * 0.88),
    (100.0, 0.0, 33.25 + 200.0, False, 0.94 * np.exp(-1)),
    (100.0, 0.0, 0.0, True, 0.94 * 0.92),
]


@pytest.mark.parametrize(("pt", "eta", "radius", "electron", "expected"), EFFICIENCIES)
def test_efficiency(pt, eta, radius, electron, expected):
    found = detector.efficiency(tracks_of(pt, eta, radius, electron), TRACKER)
    assert found[0] == pytest.approx(expected)


RADII = [(0.0, 4, 8, 0), (40.0, 3, 8, 1), (100.0, 1, 8, 3), (300.0, 0, 6, 0)]


@pytest.mark.parametrize(("radius", "layers", "sides", "first"), RADII)
def test_hits_and_holes_fill_the_layers_beyond_the_vertex(radius, layers, sides, first):
    rng = np.random.default_rng(3)
    hits = detector.detector_hits(np.full(MANY, radius), TRACKER, rng)
    crossed = (hits.pixels > 0).sum(axis=1) + hits.pixel_holes
    assert (crossed == layers).all()
    assert hits.pixel_holes.mean() == pytest.approx(0.015 * layers, abs=0.003)
    assert hits.strip_holes.mean() == pytest.approx(0.0085 * sides, abs=0.003)
    assert hits.strips.mean() == pytest.approx(0.9915 * 1.0135 * sides, abs=0.01)
    if layers:
        assert np.median(hits.first) == first
    if radius == 0:
        assert (hits.pixels[:, 0] == 2).mean() == pytest.approx(0.0985, abs=0.006)


def test_resolutions_by_hand():
    # pT 2 GeV, eta 0: m = 1/2.
    expected = [
        0.010 * np.sqrt(1 + 16), 0.060 * np.sqrt(1 + 1.15**2), 70e-6 * np.sqrt(1 + 225),
        0.7e-3 * np.sqrt(1 + 6.25), 0.34e-3 * np.sqrt(1 + 22**2),
    ]  # fmt: skip
    np.testing.assert_allclose(
        detector.resolutions(np.full(1, 2.0), np.zeros(1), SHAPE)[0], expected
    )
    # eta with sin(theta) = 1/2, and 1.6 in units of 2.5.
    eta = np.full(1, np.arccosh(2.0))
    found = detector.resolutions(np.full(1, 4.0), eta, SHAPE)[0]
    m = 1 / (4 * np.sqrt(0.5))
    assert found[3] == pytest.approx(0.7e-3 / 4 * np.sqrt(1 + (5 * m) ** 2))
    slope = 1 + 0.6 * (eta[0] / 2.5) ** 2
    assert found[4] == pytest.approx(0.34e-3 / 2 * np.sqrt(1 + 11**2) * slope)


@pytest.mark.parametrize(("layer", "factor"), enumerate([1.0, 1.4, 2.2, 3.2]))
def test_tracks_are_smeared_by_what_is_reported(layer, factor):
    config, rng = SimulationConfig(), np.random.default_rng(4)
    true = tracks_of(2.0, 0.5, size=MANY)
    first = np.full(MANY, layer)
    found, sigma = detector.measure(true, first, np.zeros((1, 3)), config, rng)
    base = detector.resolutions(np.full(1, 2.0), np.full(1, 0.5), SHAPE)[0]
    expected = base * [factor, factor, *2 * [np.sqrt(factor)], 1.0]
    shown = [np.hypot(expected[0], 0.010), np.hypot(expected[1], 0.030 / np.cosh(0.5))]
    np.testing.assert_allclose(sigma.mean(axis=0), [*shown, *expected[2:]], rtol=0.01)
    np.testing.assert_allclose(sigma.std(axis=0) / sigma.mean(axis=0), 0.05, atol=0.002)
    # The width of the core; 5.5 % of tails make it a little wider.
    for values, width in ((found.d0, expected[0]), (found.phi - 0.3, expected[2])):
        low, high = np.quantile(values, [0.16, 0.84])
        assert (high - low) / 2 == pytest.approx(1.04 * width, rel=0.03)
    assert np.std(found.d0) == pytest.approx(
        expected[0] * np.sqrt(0.945 + 0.05 * 6.25 + 0.18), rel=0.06
    )


CUTS = [({}, True), ({"pt": 0.49}, False), ({"eta": 2.51}, False), ({"d0": -3.6}, False)]


@pytest.mark.parametrize(("change", "passes"), CUTS)
def test_cuts(change, passes):
    assert detector.within_cuts(tracks_of(**{"pt": 1.0} | change).perigee, TRACKER) == passes


def test_neighbours_against_all_pairs():
    rng = np.random.default_rng(5)
    jet = np.sort(rng.integers(0, 20, 120))
    eta, phi = rng.uniform(-0.03, 0.03, 120), np.pi + rng.uniform(-0.03, 0.03, 120)
    nearest, close = detector.neighbours(jet, eta, wrapped(phi), TRACKER)
    apart = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
    apart[(jet[:, None] != jet) | np.eye(120, dtype=bool)] = np.inf
    np.testing.assert_allclose(nearest, apart.min(axis=1))
    assert (close == (apart < TRACKER.close_distance).sum(axis=1)).all()


def through(pdg_id, momentum, vertex, config, seed=6, size=MANY):
    one = np.ones(size, int)
    charge = candidates.charge_of(np.array([pdg_id]))[0]
    particles = material.Charged(
        np.arange(size), pdg_id * one, charge * one, np.tile(momentum, (size, 1)).astype(float),
        np.tile(vertex, (size, 1)).astype(float), one > 0,
    )  # fmt: skip
    return material.through_material(particles, config, np.random.default_rng(seed))


def test_photons_convert_by_the_radiation_lengths_they_cross():
    config = MaterialConfig()
    found = through(22, [3.0, 0.0, 4.0], [0.0, 0.0, 0.0], config)
    rate = len(found.particle) / 2 / MANY
    slant = np.hypot(3.0, 4.0) / 3.0
    assert rate == pytest.approx(1 - np.exp(-7 / 9 * slant * sum(config.thickness)), abs=0.005)
    assert set(found.charge) == {-1, 1} and not found.primary.any()
    radius = np.hypot(found.vertex[:, 0], found.vertex[:, 1])
    assert set(np.round(radius, 6)) == set(config.radii)


def test_electron_and_positron_share_the_photon_where_nothing_is_left_to_radiate_in():
    config = MaterialConfig(radii=[30.0], thickness=[0.5])
    found = through(22, [0.0, 2.0, -1.0], [0.0, 10.0, 3.0], config, size=2000)
    number = np.argsort(found.particle, kind="stable")
    total = found.momentum[number].reshape(-1, 2, 3).sum(axis=1)
    np.testing.assert_allclose(total, np.tile([0.0, 2.0, -1.0], (len(total), 1)), atol=1e-12)
    np.testing.assert_allclose(found.vertex, np.tile([0.0, 30.0, -7.0], (len(total) * 2, 1)))


def test_hadrons_break_up_and_electrons_lose_energy():
    config = MaterialConfig(interaction_lengths=1.0)
    found = through(211, [5.0, 0.0, 0.0], [0.0, 0.0, 0.0], config)
    kept = found.primary.mean() * len(found.primary) / MANY
    assert kept == pytest.approx(np.exp(-sum(config.thickness)), abs=0.005)
    made = (~found.primary).sum() / (MANY * (1 - np.exp(-sum(config.thickness))))
    assert made == pytest.approx(config.mean_secondaries, rel=0.05)
    assert (through(13, [5.0, 0, 0], [0.0, 0, 0], config).momentum[:, 0] == 5.0).all()
    left = through(11, [5.0, 0, 0], [0.0, 0, 0], config).momentum[:, 0] / 5.0
    # The mean of exp(-g) of a gamma variable of shape k is 2^-k.
    assert left.mean() == pytest.approx(2 ** (-sum(config.thickness) / np.log(2)), abs=0.01)


def test_physics_ranges(shard):
    flavour = shard.jets["flavour_label"]
    jet = np.repeat(np.arange(len(flavour)), shard.jets["n_tracks"])
    origin = shard.tracks["ftagTruthOriginLabel"]
    chain = np.isin(origin, (truth.ORIGINS["fromB"], truth.ORIGINS["fromBC"]))
    number = np.bincount(jet[chain], minlength=len(flavour))[flavour == 0]
    assert 0.80 < (number >= 2).mean() < 0.95
    assert 2.0 < np.median(shard.hadrons["Lxy"][shard.hadrons["flavour"] == 5]) < 5.0
    primary = shard.tracks[origin == truth.ORIGINS["primary"]]
    for name in ("IP3D_signed_d0_significance", "IP3D_signed_z0_significance"):
        values = primary[name].astype(float)
        error = 1.25 * values.std() / np.sqrt(len(values))
        assert abs(np.median(values)) < 4 * error
        assert 0.9 < np.quantile(np.abs(values), 0.68) < 1.2
        assert abs((values > 3).mean() - (values < -3).mean()) < 4 * np.sqrt(0.02 / len(values))
    assert (np.bincount(flavour, minlength=3) / len(flavour) > [0.2, 0.05, 0.35]).all()
    assert 3.5 < len(flavour) / 500 < 6


def test_rows_of_a_shard_agree_with_each_other(shard):
    jets_, tracks, hadrons = shard
    jet = np.repeat(np.arange(len(jets_)), jets_["n_tracks"])
    hadron_jet = np.repeat(np.arange(len(jets_)), jets_["n_truth_hadrons"])
    for row in range(len(hadrons)):
        linked = tracks["ftagTruthParentBarcode"][jet == hadron_jet[row]]
        assert (linked == hadrons["barcode"][row]).sum() == hadrons["n_tracks"][row]
    size = np.abs(tracks["IP3D_signed_d0_significance"].astype(float))
    assert (size[1:] <= size[:-1])[jet[1:] == jet[:-1]].all()
    has_b = np.isin(np.arange(len(jets_)), hadron_jet[hadrons["flavour"] == 5])
    assert (has_b == (jets_["HadronConeExclTruthLabelID"] == 5)).all()
    assert set(tables.TRACK_TRUTH) < set(tracks.dtype.names)
    pt = tracks["pt"] * np.cosh(jets_["eta_btagJes"][jet] + tracks["deta"].astype(float))
    np.testing.assert_allclose(pt * np.abs(tracks["qOverP"]), 1.0, rtol=2e-3)
