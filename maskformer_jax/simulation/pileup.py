"""Pile-up: a pool of minimum-bias collisions, generated once, from which events draw."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.candidates import (
    CONE_MARGIN,
    PILEUP,
    PT_MARGIN,
    Candidates,
    charge_of,
    max_radius,
)
from maskformer_jax.simulation.config import SimulationConfig
from maskformer_jax.simulation.events import Particles, batches, generator, transverse, wrapped
from maskformer_jax.simulation.helix import Perigee, perigee
from maskformer_jax.simulation.jets import Jets, nearest_jet

# Resolution may bring a track back inside the cuts [mm].
D0_MARGIN, Z0_MARGIN = 1.0, 1.0


class Pool(NamedTuple):
    """Charged particles of minimum-bias collisions, each collision at the origin.

    Attributes:
        first: `[collisions + 1]` where the particles of each begin.
        values: `[n, 6]` float32 d0 [mm], z0 [mm], phi [rad], eta, q/pT [1/GeV], and the distance
            from the beam at which it was made [mm], negative for electrons.
    """

    first: np.ndarray
    values: np.ndarray


def make_pool(config: SimulationConfig, seed: int) -> Pool:
    """Generates the pool; without pile-up it holds no collision."""
    if config.pileup.mean == 0:
        return Pool(np.zeros(1, np.int64), np.zeros((0, 6), np.float32))
    settings = [*config.beam.pythia, *config.pileup.settings]
    pythia = generator(settings, config.beam.energy, seed)
    counts, values = [], []
    for particles in batches(pythia, config.pileup.pool_events, config.batch_events):
        event, row = _tracks_of(particles, config)
        counts.append(np.bincount(event, minlength=particles.num_events))
        values.append(row)
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return Pool(first, np.concatenate(values))


def _tracks_of(particles: Particles, config: SimulationConfig) -> tuple[np.ndarray, np.ndarray]:
    tracker = config.tracker
    pt, eta, phi = transverse(particles.momentum)
    radius = np.hypot(particles.vertex[:, 0], particles.vertex[:, 1])
    charge = charge_of(particles.pdg_id)
    useful = particles.stable & (charge != 0) & (pt > PT_MARGIN * tracker.min_pt)
    useful &= (np.abs(eta) < tracker.max_eta + CONE_MARGIN) & (radius < max_radius(config))
    rows = np.flatnonzero(useful)
    position, charge = particles.vertex[rows], charge[rows]
    found = perigee(position, pt[rows], eta[rows], phi[rows], charge, tracker.magnetic_field)
    electron = np.abs(particles.pdg_id[rows]) == 11
    made = np.where(electron, -1.0, 1.0) * np.maximum(radius[rows], 1e-6)
    near = np.abs(found.d0) < tracker.max_d0 + D0_MARGIN
    table = np.stack([*found, made], axis=1).astype(np.float32)
    return particles.event[rows][near], table[near]


def draw(
    pool: Pool, jets: Jets, config: SimulationConfig, rng: np.random.Generator
) -> tuple[Candidates, np.ndarray]:
    """Pile-up near the jets of several events.

    Args:
        pool: of minimum-bias collisions.
        jets: of the events.
        config: numbers, beam spot and cuts.
        rng: of everything.

    Returns:
        The candidates, and the number of collisions in each event `[events]`.
    """
    number = rng.poisson(config.pileup.mean, len(jets.first) - 1)
    event = np.repeat(np.arange(len(number)), number)
    collision = rng.integers(0, max(len(pool.first) - 1, 1), len(event))
    # Both collisions lie somewhere in the beam spot.
    z = np.sqrt(2) * config.beam.sigma_z * rng.standard_normal(len(event))
    turn, mirror = 2 * np.pi * rng.random(len(event)), np.where(rng.random(len(event)) < 0.5, -1, 1)
    sizes = np.diff(pool.first)[collision] if len(event) else np.zeros(0, np.int64)
    which = np.repeat(np.arange(len(event)), sizes)
    rows = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows += np.repeat(pool.first[collision], sizes) if len(event) else 0
    eta = mirror[which] * pool.values[rows, 3]
    z0 = mirror[which] * pool.values[rows, 1] + z[which]
    close = np.flatnonzero(np.abs(z0) < (config.tracker.max_z0 + Z0_MARGIN) * np.cosh(eta))
    which, rows, eta, z0 = which[close], rows[close], eta[close], z0[close]
    phi = wrapped(pool.values[rows, 2].astype(np.float64) + turn[which])
    cone = config.jet_finding.radius + CONE_MARGIN
    near = np.flatnonzero(nearest_jet(jets, event[which], eta, phi, cone) >= 0)
    return _candidates(
        pool.values[rows[near]], event[which[near]], z0[near], phi[near], eta[near]
    ), number


def _candidates(
    values: np.ndarray, event: np.ndarray, z0: np.ndarray, phi: np.ndarray, eta: np.ndarray
) -> Candidates:
    d0, _, _, _, q_over_pt, made = values.astype(np.float64).T
    return Candidates(
        source=np.full(len(event), PILEUP),
        event=event,
        perigee=Perigee(d0, z0, phi, eta, q_over_pt),
        radius=np.abs(made),
        electron=made < 0,
        particle=np.full(len(event), -1),
        vertex=np.full((len(event), 3), np.nan),
    )
