"""Charged particles near jets, with the helices they would be measured on: what may be a track."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.config import FakesConfig, SimulationConfig
from maskformer_jax.simulation.events import Particles, transverse, wrapped
from maskformer_jax.simulation.helix import Perigee, perigee
from maskformer_jax.simulation.jets import Jets, nearest_jet
from maskformer_jax.simulation.material import Charged, through_material

PILEUP, FAKE, HARD, MATERIAL = range(4)
# Charge of the stable charged particles, by PDG number of the particle.
CHARGES = {11: -1, 13: -1, 211: 1, 321: 1, 2212: 1}
# Tracks turn on their way and are smeared: look a little further than the radius and the cuts.
CONE_MARGIN = 0.1
PT_MARGIN = 0.9


class Candidates(NamedTuple):
    """What may be reconstructed as a track.

    Attributes:
        source: `[k]` PILEUP, FAKE, HARD (a particle of the hard collision) or MATERIAL (made by
            one of those in the detector).
        event: `[k]`.
        perigee: leaves `[k]`, with respect to the true vertex of the hard collision.
        radius: `[k]` distance from the beam at which the particle was made [mm].
        electron: `[k]`.
        particle: `[k]` row of the particle; -1 unless the source is HARD.
        vertex: `[k, 3]` where it was made; NaN for pile-up and fakes [mm].
    """

    source: np.ndarray
    event: np.ndarray
    perigee: Perigee
    radius: np.ndarray
    electron: np.ndarray
    particle: np.ndarray
    vertex: np.ndarray


def join(parts: list[Candidates]) -> Candidates:
    """Several tables, one after the other."""
    perigees = [part.perigee for part in parts]
    joined = Perigee(*(np.concatenate(leaves) for leaves in zip(*perigees, strict=True)))
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Candidates._fields
        if name != "perigee"
    }
    return Candidates(perigee=joined, **columns)


def take(candidates: Candidates, rows: np.ndarray) -> Candidates:
    """The candidates at `rows`, indices or booleans."""
    part = Perigee(*(leaf[rows] for leaf in candidates.perigee))
    columns = {name: leaf[rows] for name, leaf in candidates._asdict().items() if name != "perigee"}
    return Candidates(perigee=part, **columns)


def charge_of(pdg_id: np.ndarray) -> np.ndarray:
    """`[n]` charge of stable particles, 0 for neutral and other ones."""
    code = np.abs(pdg_id)
    charge = np.zeros(len(code), np.int64)
    for particle, value in CHARGES.items():
        charge[code == particle] = value
    return charge * np.sign(pdg_id)


def of_event(
    particles: Particles, jets: Jets, config: SimulationConfig, rng: np.random.Generator
) -> Candidates:
    """Charged particles of the hard collision near jets, and what they make in the material."""
    tracker = config.tracker
    pt, eta, phi = transverse(particles.momentum)
    radius = np.hypot(particles.vertex[:, 0], particles.vertex[:, 1])
    useful = particles.stable & (pt > PT_MARGIN * tracker.min_pt) & (radius < max_radius(config))
    rows = np.flatnonzero(useful & (np.abs(eta) < tracker.max_eta + CONE_MARGIN))
    cone = config.jet_finding.radius + CONE_MARGIN
    near = nearest_jet(jets, particles.event[rows], eta[rows], phi[rows], cone) >= 0
    rows = rows[near]
    charge = charge_of(particles.pdg_id[rows])
    straight = Charged(
        particle=rows,
        pdg_id=particles.pdg_id[rows],
        charge=charge,
        momentum=particles.momentum[rows],
        vertex=particles.vertex[rows],
        primary=np.ones(len(rows), bool),
    )
    charged = through_material(straight, config.material, rng)
    candidates = _on_helices(charged, particles.event, config)
    return take(candidates, np.abs(1 / candidates.perigee.q_over_pt) > PT_MARGIN * tracker.min_pt)


def max_radius(config: SimulationConfig) -> float:
    """Where a particle must be made to reach enough pixel layers [mm]."""
    layers = config.tracker.pixel_radii
    return layers[-max(config.tracker.min_pixel_hits, 1)]


def _on_helices(charged: Charged, event: np.ndarray, config: SimulationConfig) -> Candidates:
    pt, eta, phi = transverse(charged.momentum)
    start = perigee(charged.vertex, pt, eta, phi, charged.charge, config.tracker.magnetic_field)
    return Candidates(
        source=np.where(charged.primary, HARD, MATERIAL),
        event=event[charged.particle],
        perigee=start,
        radius=np.hypot(charged.vertex[:, 0], charged.vertex[:, 1]),
        electron=np.abs(charged.pdg_id) == 11,
        particle=np.where(charged.primary, charged.particle, -1),
        vertex=charged.vertex,
    )


def fakes(
    jets: Jets, collisions: np.ndarray, config: FakesConfig, cone: float, min_pt: float,
    rng: np.random.Generator,
) -> Candidates:  # fmt: skip
    """Tracks of unrelated hits, spread evenly over the jets.

    Args:
        jets: of several events.
        collisions: `[events]` number of pile-up collisions.
        config: numbers and shapes.
        cone: radius of the jets.
        min_pt: of a track [GeV].
        rng: of everything.
    """
    mean = config.base + config.per_pt * np.minimum(jets.pt / 200.0, 5.0)
    mean += config.per_pileup * collisions[jets.event]
    jet = np.repeat(np.arange(len(jets.pt)), rng.poisson(mean))
    count = len(jet)
    scale = np.where(rng.random(count) < config.hard_fraction, config.hard_pt, config.pt)
    pt = min_pt + scale * rng.standard_exponential(count)
    distance, angle = cone * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
    eta = jets.eta[jet] + distance * np.cos(angle)
    z0 = rng.laplace(scale=config.z0, size=count) * np.cosh(eta)
    shape = Perigee(
        d0=rng.laplace(scale=config.d0, size=count),
        z0=z0,
        phi=wrapped(jets.phi[jet] + distance * np.sin(angle)),
        eta=eta,
        q_over_pt=np.where(rng.random(count) < 0.5, -1, 1) / pt,
    )
    return Candidates(
        source=np.full(count, FAKE),
        event=jets.event[jet],
        perigee=shape,
        radius=np.zeros(count),
        electron=np.zeros(count, bool),
        particle=np.full(count, -1),
        vertex=np.full((count, 3), np.nan),
    )
