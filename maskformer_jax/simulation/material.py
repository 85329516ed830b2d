"""What particles do in the beam pipe and the pixel layers: photons convert, hadrons interact,
electrons lose energy."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.config import MaterialConfig
from maskformer_jax.simulation.events import NEUTRINOS, transverse

# Pair production at high energy has 7/9 of the radiation length as its mean free path.
CONVERSION = 7 / 9
PHOTON, ELECTRON, MUON, PION = 22, 11, 13, 211


class Charged(NamedTuple):
    """Particles on their way through the detector.

    Attributes:
        particle: `[k]` row of the particle, or of the one that made it in the material.
        pdg_id: `[k]`.
        charge: `[k]` +1, -1, or 0 for neutral ones.
        momentum: `[k, 3]` [GeV].
        vertex: `[k, 3]` where it was made [mm].
        primary: `[k]` False if it was made in the material.
    """

    particle: np.ndarray
    pdg_id: np.ndarray
    charge: np.ndarray
    momentum: np.ndarray
    vertex: np.ndarray
    primary: np.ndarray


def through_material(
    particles: Charged, config: MaterialConfig, rng: np.random.Generator
) -> Charged:
    """The charged particles that are left, and those made on the way.

    Paths to a layer are straight lines: the bend over these radii is below a millimetre for
    most. A hadron that interacts leaves no track; what it makes does not interact again.

    Args:
        particles: also neutral ones.
        config: layers and rates.
        rng: of everything.
    """
    layer = _layer_of_interaction(particles, config, rng)
    photon = particles.pdg_id == PHOTON
    converted = np.flatnonzero((layer >= 0) & photon)
    broken = np.flatnonzero((layer >= 0) & ~photon)
    kept = (layer < 0) & (particles.charge != 0)
    parts = [
        Charged(*(leaf[kept] for leaf in particles)),
        _pairs(particles, converted, _position(particles, converted, layer, config), rng),
        _secondaries(particles, broken, _position(particles, broken, layer, config), config, rng),
    ]
    joined = Charged(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))
    return joined._replace(momentum=_after_radiation(joined, config, rng))


def _layer_of_interaction(
    particles: Charged, config: MaterialConfig, rng: np.random.Generator
) -> np.ndarray:
    """`[k]` the layer that a particle converts or interacts in, -1 for none."""
    pt, eta, _ = transverse(particles.momentum)
    slant = np.cosh(eta)[:, None] * np.array(config.thickness)
    code = np.abs(particles.pdg_id)
    rate = np.where(code == PHOTON, CONVERSION, config.interaction_lengths)
    rate[np.isin(code, (ELECTRON, MUON, *NEUTRINOS))] = 0.0
    radius = np.hypot(particles.vertex[:, 0], particles.vertex[:, 1])
    reached = radius[:, None] < np.array(config.radii)
    depth = np.cumsum(rate[:, None] * slant * reached, axis=1)
    path = rng.standard_exponential(len(pt))
    return np.where(path < depth[:, -1], (path[:, None] >= depth).sum(axis=1), -1)


def _position(
    particles: Charged, rows: np.ndarray, layer: np.ndarray, config: MaterialConfig
) -> np.ndarray:
    """`[k, 3]` where the straight line from the vertex meets the layer [mm]."""
    vertex = particles.vertex[rows]
    pt, _, _ = transverse(particles.momentum[rows])
    direction = particles.momentum[rows] / pt[:, None]
    target = np.array(config.radii)[layer[rows]]
    along = (vertex[:, :2] * direction[:, :2]).sum(axis=1)
    squared = along**2 + target**2 - (vertex[:, :2] ** 2).sum(axis=1)
    return vertex + direction * (np.sqrt(squared) - along)[:, None]


def _pairs(
    particles: Charged, rows: np.ndarray, position: np.ndarray, rng: np.random.Generator
) -> Charged:
    """An electron and a positron along the photon, its energy shared evenly at random."""
    share = rng.random(len(rows))
    momentum = particles.momentum[rows]
    ones = np.ones(2 * len(rows), np.int64)
    ones[: len(rows)] = -1
    return Charged(
        particle=np.tile(particles.particle[rows], 2),
        pdg_id=-ELECTRON * ones,
        charge=ones,
        momentum=np.concatenate([momentum * share[:, None], momentum * (1 - share)[:, None]]),
        vertex=np.tile(position, (2, 1)),
        primary=np.zeros(2 * len(rows), bool),
    )


def _secondaries(
    particles: Charged, rows: np.ndarray, position: np.ndarray, config: MaterialConfig,
    rng: np.random.Generator,
) -> Charged:  # fmt: skip
    """Charged pions that share the momentum of a hadron, with a random transverse kick each."""
    number = rng.poisson(config.mean_secondaries, len(rows))
    source = np.repeat(np.arange(len(rows)), number)
    parent = particles.momentum[rows][source]
    # As many neutral particles take their part: an exponential of half the even share.
    share = rng.standard_exponential(len(source)) / (1.5 * np.maximum(number[source], 1))
    kick = rng.standard_exponential(len(source)) * config.secondary_pt
    momentum = parent * np.minimum(share, 1.0)[:, None]
    momentum += kick[:, None] * _across(parent, 2 * np.pi * rng.random(len(source)))
    charge = np.where(rng.random(len(source)) < 0.5, -1, 1)
    return Charged(
        particle=particles.particle[rows][source],
        pdg_id=charge * PION,
        charge=charge,
        momentum=momentum,
        vertex=position[source],
        primary=np.zeros(len(source), bool),
    )


def _across(momentum: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """`[k, 3]` unit vectors at right angles to the momenta, turned about them by `angle`."""
    size = np.linalg.norm(momentum, axis=1, keepdims=True)
    pt = np.hypot(momentum[:, :1], momentum[:, 1:2])
    zero = np.zeros(len(momentum))
    first = np.stack([-momentum[:, 1], momentum[:, 0], zero], axis=1) / pt
    second = np.cross(momentum / size, first)
    return first * np.cos(angle)[:, None] + second * np.sin(angle)[:, None]


def _after_radiation(
    particles: Charged, config: MaterialConfig, rng: np.random.Generator
) -> np.ndarray:
    """Momenta after bremsstrahlung: E/E0 = exp(-g), g gamma distributed with mean t/ln 2.

    t is the material beyond the vertex in radiation lengths (Bethe and Heitler, Proc. R. Soc.
    A 146 (1934) 83).
    """
    momentum = particles.momentum.copy()
    electron = np.flatnonzero(np.abs(particles.pdg_id) == ELECTRON)
    vertex = particles.vertex[electron]
    _, eta, _ = transverse(momentum[electron])
    beyond = np.hypot(vertex[:, 0], vertex[:, 1])[:, None] < np.array(config.radii)
    ahead = (beyond * np.array(config.thickness)).sum(axis=1) + config.strips_thickness
    loss = rng.standard_gamma(ahead * np.cosh(eta) / np.log(2))
    momentum[electron] *= np.exp(-loss)[:, None]
    return momentum
