"""Hadrons, jet labels, origins, links and vertices of decay chains made by hand."""

import numpy as np
import pytest

from maskformer_jax.simulation import truth
from maskformer_jax.simulation.config import TruthConfig
from maskformer_jax.simulation.events import heavy_flavour, weakly_decaying
from maskformer_jax.simulation.jets import Jets

B0, B_STAR, D_MINUS, D_STAR, K_SHORT, LAMBDA, TAU = 511, 513, -411, -413, 310, 3122, 15
PION, MUON, NEUTRINO = 211, 13, 14
ZERO, FAR = (0, 0, 0), (5, 0, 0)
CONFIG = TruthConfig()


def jets_at(*axes):
    """Jets of one event at (eta, phi)."""
    eta, phi = np.array(axes, float).T
    size = len(axes)
    first = np.array([0, size])
    return Jets(np.zeros(size, int), np.full(size, 50.0), eta, phi, np.ones(size), first)


FLAVOURS = [
    *((511, 5), (-521, 5), (5122, 5), (513, 5), (541, 5), (5332, 5), (411, 4), (-421, 4)),
    *((4122, 4), (10413, 4), (4444, 4), (553, 0), (443, 0), (100443, 0), (5503, 0), (4101, 0)),
    *((5, 0), (4, 0), (211, 0), (3122, 0), (22, 0), (2212, 0), (1000020040, 0), (20553, 0)),
]


@pytest.mark.parametrize(("pdg_id", "flavour"), FLAVOURS)
def test_flavour_of_hadrons_but_not_of_quarks_diquarks_and_onia(pdg_id, flavour):
    assert heavy_flavour(np.array([pdg_id])) == flavour


@pytest.fixture(scope="module")
def b_decay(decay_chain):
    """B* -> B0 -> D*- mu+ nu, D*- -> D- pi, D- -> K_S pi, K_S -> pi pi; and a pion from nowhere."""
    return decay_chain(
        [
            (B_STAR, None, 41.0, 0.0, 0.0, ZERO),
            (B0, 0, 40.0, 0.0, 0.0, ZERO),
            (D_STAR, 1, 20.0, 0.05, 0.0, (2, 0, 0)),
            (-MUON, 1, 10.0, 0.1, 0.0, (2, 0, 0)),
            (NEUTRINO, 1, 10.0, 0.1, 0.0, (2, 0, 0)),
            (D_MINUS, 2, 18.0, 0.05, 0.0, (2, 0, 0)),
            (-PION, 2, 1.0, 0.05, 0.0, (2, 0, 0)),
            (K_SHORT, 5, 9.0, 0.05, 0.0, FAR),
            (-PION, 5, 9.0, 0.05, 0.0, FAR),
            (PION, 7, 4.0, 0.05, 0.0, (30, 0, 0)),
            (-PION, 7, 4.0, 0.05, 0.0, (30, 0, 0)),
            (PION, None, 3.0, 0.0, 0.0, ZERO),
        ]
    )


def test_only_the_last_of_a_flavour_decays_weakly(b_decay):
    flavour = weakly_decaying(b_decay)
    assert np.flatnonzero(flavour).tolist() == [1, 5]
    assert flavour[[1, 5]].tolist() == [5, 4]


ORIGIN_CASES = [
    # stable particle, origin, hadron it is linked to
    (3, "fromB", 1),
    (6, "fromB", 1),
    (8, "fromBC", 5),
    (9, "otherSecondary", -1),
    (11, "primary", -1),
]


@pytest.mark.parametrize(("row", "name", "parent"), ORIGIN_CASES)
def test_origin_and_nearest_hadron(b_decay, row, name, parent):
    origin, linked = truth.origins(b_decay, np.array([row]))
    assert origin == truth.ORIGINS[name]
    assert linked == parent


def test_a_c_hadron_without_b_and_taus(decay_chain):
    particles = decay_chain(
        [
            (431, None, 20.0, 0.0, 0.0, ZERO),
            (-TAU, 0, 10.0, 0.0, 0.0, FAR),
            (PION, 0, 10.0, 0.0, 0.0, FAR),
            (PION, 1, 10.0, 0.0, 0.0, FAR),
            (TAU, None, 30.0, 0.0, 2.0, ZERO),
            (-PION, 4, 30.0, 0.0, 2.0, FAR),
            (LAMBDA, None, 10.0, 0.0, 0.0, ZERO),
            (-PION, 6, 5.0, 0.0, 0.0, FAR),
        ]
    )
    origin, linked = truth.origins(particles, np.array([2, 3, 5, 7]))
    names = ["fromC", "fromTau", "fromTau", "otherSecondary"]
    assert origin.tolist() == [truth.ORIGINS[name] for name in names]
    assert linked.tolist() == [0, 0, -1, -1]


def labelled(decay_chain, rows, axes=((0.0, 0.0),)):
    particles = decay_chain(rows)
    return truth.find_hadrons(particles, jets_at(*axes), 0.4, CONFIG)


B, C, T = (
    (511, None, 30.0, 0.1, 0.0, ZERO),
    (411, None, 60.0, 0.0, 0.1, ZERO),
    (15, None, 50.0, 0, 0, ZERO),
)
LABELS = [([B, C, T], 5), ([C, T], 4), ([T], 15), ([(211, None, 50.0, 0, 0, ZERO)], 0)]


@pytest.mark.parametrize(("rows", "label"), LABELS)
def test_a_jet_is_b_before_c_before_tau_before_light(decay_chain, rows, label):
    assert labelled(decay_chain, rows)[1].tolist() == [label]


@pytest.mark.parametrize(("pt", "eta", "label"), [(5.1, 0.0, 5), (4.9, 0.0, 0), (50.0, 0.41, 0)])
def test_a_hadron_counts_above_the_threshold_and_inside_the_jet(decay_chain, pt, eta, label):
    hadrons, found = labelled(decay_chain, [(511, None, pt, eta, 0.0, ZERO)])
    assert found.tolist() == [label]
    assert len(hadrons.jet) == (label == 5)


def test_hadrons_are_listed_b_first_then_by_pt_with_soft_c_hadrons_of_the_b(decay_chain):
    rows = [
        (411, None, 60.0, 0.0, 0.0, ZERO),
        (511, None, 20.0, 0.0, 0.0, ZERO),
        (-421, 1, 3.0, 0.0, 0.1, (1, 2, 0)),
        (521, None, 30.0, 0.1, 0.0, ZERO),
        (421, None, 4.0, 0.0, 0.0, ZERO),
        (PION, 2, 2.0, 0.0, 0.1, (6, 8, 1)),
    ]
    hadrons, _ = labelled(decay_chain, rows)
    assert hadrons.particle.tolist() == [3, 1, 0, 2]
    assert hadrons.flavour.tolist() == [5, 5, 4, 4]
    assert hadrons.decay[3].tolist() == [6, 8, 1]
    assert hadrons.decay[1].tolist() == [1, 2, 0]


def test_a_hadron_belongs_to_the_nearest_jet_and_a_soft_c_to_that_of_its_b(decay_chain):
    rows = [
        (511, None, 20.0, 0.0, 0.1, ZERO),
        (-411, 0, 3.0, 0.0, 0.35, (1, 0, 0)),
    ]
    hadrons, label = labelled(decay_chain, rows, axes=((0.0, 0.0), (0.0, 0.5)))
    assert label.tolist() == [5, 0]
    assert hadrons.particle.tolist() == [0]


def test_jets_meet_across_the_seam_of_phi(decay_chain):
    _, label = labelled(decay_chain, [(511, None, 20.0, 0.0, 3.1, ZERO)], axes=((0.0, -3.1),))
    assert label.tolist() == [5]


VERTICES = [
    ([0.0, 0.05, 5.0, 5.05], [0, 0, 1, 1]),
    ([9.0, 0.0, 4.0, 9.02], [2, 0, 1, 2]),
    ([1.0, 1.08, 1.16, 1.24], [1, 1, 2, 2]),
    ([7.0], [1]),
]


@pytest.mark.parametrize(("distances", "expected"), VERTICES)
def test_vertices_are_merged_and_numbered_by_distance(distances, expected):
    position = np.outer(distances, [0.6, 0.0, 0.8])
    jet = np.zeros(len(distances), int)
    assert truth.vertex_indices(jet, position, 1, 0.1).tolist() == expected


def test_vertices_are_numbered_in_each_jet():
    position = np.outer([3.0, 3.0, 0.0, 8.0, 3.0], [1.0, 0.0, 0.0])
    found = truth.vertex_indices(np.array([0, 1, 1, 1, 2]), position, 4, 0.1)
    assert found.tolist() == [1, 1, 0, 2, 1]
