"""What may become a track: pile-up, fakes, particles near jets; and the labels of those."""

import numpy as np
import pytest
from scipy.special import erf

from maskformer_jax.simulation import candidates, pileup, truth
from maskformer_jax.simulation.config import (
    FakesConfig,
    MaterialConfig,
    PileUpConfig,
    SimulationConfig,
    TruthConfig,
)
from maskformer_jax.simulation.detector import Tracks
from maskformer_jax.simulation.events import transverse
from maskformer_jax.simulation.jets import Jets
from maskformer_jax.simulation.pileup import Pool

EVENTS = 3000
NOTHING = MaterialConfig(thickness=[0.0] * 5)


def one_jet_each(eta, phi, pt=100.0, events=EVENTS):
    one = np.ones(events)
    return Jets(np.arange(events), pt * one, eta * one, phi * one, one, np.arange(events + 1))


def test_pileup_is_turned_mirrored_and_spread_along_the_beam():
    # A track at eta 1 in every collision, and one that is far beyond the cut on z0.
    rows = [[0.2, 0.1, 2.0, 1.0, 0.5, 1e-6], [0.3, 4000.0, 2.0, 1.0, 0.5, -30.0]]
    pool = Pool(np.array([0, 2]), np.array(rows, np.float32))
    config = SimulationConfig(pileup=PileUpConfig(mean=50.0))
    found, number = pileup.draw(pool, one_jet_each(1.0, 3.0), config, np.random.default_rng(1))
    assert number.mean() == pytest.approx(50.0, abs=0.5)
    assert number.var() == pytest.approx(50.0, rel=0.1)
    assert (found.source == candidates.PILEUP).all() and not found.electron.any()
    np.testing.assert_allclose(found.perigee.d0, 0.2, rtol=1e-6)
    np.testing.assert_allclose(found.perigee.eta, 1.0, rtol=1e-6)
    cone, reach = 0.5, 6.0 * np.cosh(1.0)
    assert np.abs(found.perigee.z0).max() < reach
    assert np.ptp(found.perigee.phi) > 6 and np.abs(np.sin(found.perigee.phi - 3.0)).max() < cone
    inside = erf(reach / (np.sqrt(2) * np.sqrt(2) * config.beam.sigma_z))
    expected = EVENTS * 50.0 * 0.5 * (2 * cone / (2 * np.pi)) * inside
    assert len(found.event) == pytest.approx(expected, rel=4 / np.sqrt(expected))


def test_no_pileup_is_possible():
    config = SimulationConfig(pileup=PileUpConfig(mean=0.0))
    pool = pileup.make_pool(config, seed=1)
    assert len(pool.values) == 0
    found, number = pileup.draw(pool, one_jet_each(0, 0), config, np.random.default_rng(1))
    assert len(found.event) == 0 and (number == 0).all()


def test_fakes_are_spread_evenly_over_jets():
    config, jets = FakesConfig(), one_jet_each(1.5, 3.1)
    collisions = np.full(EVENTS, 50)
    found = candidates.fakes(jets, collisions, config, 0.4, 0.5, np.random.default_rng(2))
    # 0.1 + 0.1 x 100/200 + 0.002 x 50 in each jet.
    assert len(found.event) / EVENTS == pytest.approx(0.25, abs=0.04)
    apart = np.hypot(found.perigee.eta - 1.5, np.angle(np.exp(1j * (found.perigee.phi - 3.1))))
    assert apart.max() < 0.4
    assert np.median(apart) == pytest.approx(0.4 / np.sqrt(2), abs=0.02)
    assert np.median(np.abs(found.perigee.d0)) == pytest.approx(0.62 * np.log(2), rel=0.15)
    z0 = found.perigee.z0 / np.cosh(found.perigee.eta)
    assert np.median(np.abs(z0)) == pytest.approx(1.2 * np.log(2), rel=0.15)
    pt = 1 / np.abs(found.perigee.q_over_pt)
    assert pt.min() >= 0.5 and pt.mean() == pytest.approx(
        0.5 + 0.875 * 1.06 + 0.125 * 18.7, rel=0.2
    )
    assert candidates.fakes(
        one_jet_each(0, 0, 1e4), collisions, config, 0.4, 0.5, np.random.default_rng(3)
    ).event.size / EVENTS == pytest.approx(0.7, abs=0.06)


@pytest.fixture(scope="module")
def event(decay_chain):
    """Particles of one event: what is charged, near the jet at (0, 0) and made early is kept."""
    zero = (0.0, 0.0, 0.0)
    return decay_chain(
        [
            (211, None, 5.0, 0.1, 0.1, zero),
            (-11, None, 2.0, 0.0, 0.0, (3.0, 0.0, 1.0)),
            (211, None, 5.0, 0.6, 0.0, zero),
            (211, None, 0.3, 0.0, 0.0, zero),
            (22, None, 5.0, 0.0, 0.0, zero),
            (130, None, 5.0, 0.0, 0.0, zero),
            (211, None, 5.0, 0.0, 0.0, (130.0, 0.0, 0.0)),
            (-2212, None, 5.0, 0.0, -0.1, (40.0, 0.0, 0.0)),
            (12, None, 5.0, 0.0, -0.1, zero),
        ]
    )


def test_charged_particles_near_a_jet_are_candidates(event):
    config = SimulationConfig(material=NOTHING)
    rng = np.random.default_rng(4)
    found = candidates.of_event(event, one_jet_each(0, 0, events=1), config, rng)
    assert found.particle.tolist() == [0, 1, 7]
    assert found.electron.tolist() == [False, True, False]
    assert np.sign(found.perigee.q_over_pt).tolist() == [1, 1, -1]
    assert found.radius.tolist() == [0.0, 3.0, 40.0]
    np.testing.assert_allclose(found.vertex, event.vertex[[0, 1, 7]])
    pt, _, _ = transverse(event.momentum[[0, 1, 7]])
    np.testing.assert_allclose(np.abs(found.perigee.q_over_pt), 1 / pt)


def test_what_is_made_in_the_material_is_no_particle_of_the_event(event):
    # All of it in the last layer, beyond which nothing can be lost.
    thick = MaterialConfig(thickness=[0.0] * 4 + [9.0], interaction_lengths=0.0)
    config = SimulationConfig(material=thick)
    rng = np.random.default_rng(5)
    found = candidates.of_event(event, one_jet_each(0, 0, events=1), config, rng)
    made = found.source == candidates.MATERIAL
    assert made.any() and (found.particle[made] == -1).all() and found.electron[made].all()
    np.testing.assert_allclose(found.radius[made], config.material.radii[-1])


def test_labels_of_pileup_fakes_and_material(event):
    config = SimulationConfig(material=NOTHING)
    jets = one_jet_each(0, 0, events=1)
    hard = candidates.of_event(event, jets, config, np.random.default_rng(6))
    sources = [candidates.PILEUP, candidates.FAKE, candidates.MATERIAL]
    others = [
        candidates.take(hard, [2])._replace(source=np.array([source]), particle=np.array([-1]))
        for source in sources
    ]
    joined = candidates.join([hard, *others])
    tracks = Tracks(np.zeros(6, int), joined, joined.perigee, None, None, None)
    labels = truth.label_tracks(tracks, event, 1, TruthConfig())
    names = ["primary", "primary", "primary", "pileup", "fake", "otherSecondary"]
    assert labels.origin.tolist() == [truth.ORIGINS[name] for name in names]
    assert labels.vertex_index.tolist() == [0, 1, 2, -2, -2, 2]
    assert (labels.barcode == -1).all()
