"""Perigee parameters against numerical propagation, and the sign of a lifetime."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from maskformer_jax.simulation.detector import moved
from maskformer_jax.simulation.helix import GEV_PER_TESLA_MM, lifetime_signed, perigee

FIELD = 2.0
MICROMETRE = 1e-3

# pT [GeV], eta, phi, charge, start [mm]
STARTS = [
    (0.5, 0.0, 0.3, 1, (3.0, 1.0, -20.0)),
    (0.5, 1.5, -2.9, -1, (10.0, -25.0, 40.0)),
    (1.0, -2.4, 3.1, 1, (0.0, 0.5, 0.0)),
    (5.0, 0.7, 1.2, -1, (-60.0, 80.0, 100.0)),
    (50.0, -1.0, -0.4, 1, (20.0, -8.0, 3.0)),
    (800.0, 2.0, 2.2, -1, (-30.0, 30.0, 150.0)),
]


def propagated(pt, eta, phi, charge, start):
    """d0, z0 and phi where dp/ds = q v x B brings the particle nearest to the beam line."""
    momentum = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    size = np.linalg.norm(momentum)
    bend = charge * GEV_PER_TESLA_MM * FIELD / size

    def slope(_, state):
        px, py, _ = state[3:]
        return [*(state[3:] / size), bend * py, -bend * px, 0.0]

    reach = 2 * np.linalg.norm(start) * np.cosh(eta) + 1.0
    state = [*start, *momentum]
    paths = [
        solve_ivp(slope, (0, s), state, method="DOP853", rtol=1e-12, atol=1e-11, dense_output=True)
        for s in (reach, -reach)
    ]

    def at(s):
        return paths[0 if s > 0 else 1].sol(s)

    nearest = minimize_scalar(
        lambda s: np.hypot(*at(s)[:2]), bounds=(-reach, reach), method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    x, y, z, px, py, _ = at(nearest.x)
    phi0 = np.arctan2(py, px)
    return -x * np.sin(phi0) + y * np.cos(phi0), z, phi0


@pytest.mark.parametrize(("pt", "eta", "phi", "charge", "start"), STARTS)
def test_perigee_is_where_numerical_propagation_is_nearest(pt, eta, phi, charge, start):
    columns = (np.array([value]) for value in (pt, eta, phi, charge))
    found = perigee(np.array([start]), *columns, FIELD)
    d0, z0, phi0 = propagated(pt, eta, phi, charge, start)
    assert abs(found.d0[0] - d0) < MICROMETRE
    assert abs(found.z0[0] - z0) < MICROMETRE
    assert abs(np.sin(found.phi[0] - phi0)) < 1e-6
    assert found.q_over_pt[0] == charge / pt


def test_the_perigee_of_a_perigee_is_itself():
    one = np.ones(1)
    found = perigee(np.array([[4.0, -3.0, 2.0]]), 2 * one, 0.5 * one, one, -one, FIELD)
    d0, z0, phi = found.d0, found.z0, found.phi
    point = np.stack([-d0 * np.sin(phi), d0 * np.cos(phi), z0], axis=1)
    again = perigee(point, 2 * one, 0.5 * one, phi, -one, FIELD)
    np.testing.assert_allclose([*again], [*found], atol=1e-9)


def test_a_small_shift_of_the_vertex_is_that_of_the_helix():
    pt, eta, phi, charge, start = (np.array([row[i] for row in STARTS]) for i in range(5))
    vertex = np.array([[0.02, -0.03, 0.05]] * len(STARTS))
    linear = moved(perigee(start, pt, eta, phi, charge, FIELD), vertex)
    exact = perigee(start - vertex, pt, eta, phi, charge, FIELD)
    np.testing.assert_allclose(linear.d0, exact.d0, atol=0.1 * MICROMETRE)
    np.testing.assert_allclose(linear.z0, exact.z0, atol=MICROMETRE)


# Decay length along the jet [mm], track minus jet in phi and eta.
DECAYS = [(5.0, 0.1, 0.1), (5.0, -0.1, 0.2), (5.0, 0.2, -0.1), (-5.0, 0.1, -0.1), (-5.0, -0.2, 0.1)]


@pytest.mark.parametrize("charge", [1, -1])
@pytest.mark.parametrize(("length", "dphi", "deta"), DECAYS)
def test_lifetime_signs_are_those_of_the_decay_length(length, dphi, deta, charge):
    jet_eta, jet_phi, one = 0.4, 2.5, np.ones(1)
    axis = [np.cos(jet_phi), np.sin(jet_phi), np.sinh(jet_eta)]
    found = perigee(
        length * np.array([axis]), 100 * one, jet_eta + deta * one, jet_phi + dphi * one,
        charge * one, FIELD,
    )  # fmt: skip
    d0, z0 = lifetime_signed(
        found.d0, found.z0 / np.cosh(found.eta), found.phi - jet_phi, found.eta - jet_eta
    )
    assert np.sign(d0[0]) == np.sign(z0[0]) == np.sign(length)
    assert abs(d0[0]) == pytest.approx(abs(length * np.sin(dphi)), rel=0.02)
