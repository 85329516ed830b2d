"""Anti-kt jets of an event, their measured momenta, and what lies near them."""

from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import JetFindingConfig
from maskformer_jax.simulation.events import (
    NEUTRINOS,
    Particles,
    nearest_ancestor,
    transverse,
    wrapped,
)

MUON, ELECTRON = 13, 11
# Beyond the acceptance of jets by more than any radius: it is not worth clustering.
CLUSTER_MARGIN = 1.5


class Jets(NamedTuple):
    """Measured jets, the events one after the other and by falling pT inside an event.

    Attributes:
        event: `[j]`.
        pt: `[j]` [GeV].
        eta: `[j]`.
        phi: `[j]` [rad].
        mass: `[j]` [GeV].
        first: `[events + 1]` where the jets of each event begin.
    """

    event: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray
    first: np.ndarray


def visible(particles: Particles, max_eta: float) -> np.ndarray:
    """`[n]` particles that calorimeters see: neither muons, neutrinos nor prompt electrons.

    An electron is prompt when no hadron is among its ancestors.
    """
    code = np.abs(particles.pdg_id)
    pt, eta, _ = transverse(particles.momentum)
    seen = particles.stable & (np.abs(eta) < max_eta) & (pt > 0)
    seen &= ~np.isin(code, (MUON, *NEUTRINOS))
    electrons = np.flatnonzero(seen & (code == ELECTRON))
    hadrons = (code > 100) & (code < 10**9)
    seen[electrons] = nearest_ancestor(particles, electrons, hadrons) >= 0
    return seen


def find(particles: Particles, config: JetFindingConfig, rng: np.random.Generator) -> Jets:
    """The jets of each event, after resolution and cuts.

    Args:
        particles: of several events.
        config: clustering and resolution.
        rng: of the resolution.
    """
    chosen = visible(particles, config.max_eta + CLUSTER_MARGIN)
    counts = np.bincount(particles.event[chosen], minlength=particles.num_events)
    found, true = cluster(particles.momentum[chosen], particles.energy[chosen], counts, config)
    pt, eta, phi = transverse(true[:, :3])
    mass = np.sqrt(np.maximum(true[:, 3] ** 2 - (true[:, :3] ** 2).sum(axis=1), 0.0))
    noise, stochastic, constant = config.pt_noise, config.pt_stochastic, config.pt_constant
    relative = np.sqrt((noise / pt) ** 2 + stochastic**2 / pt + constant**2)
    scale = np.maximum(1.0 + relative * rng.standard_normal(len(pt)), 0.0)
    angle = np.hypot(config.angle_constant, config.angle_noise / pt)
    eta = eta + angle * rng.standard_normal(len(pt))
    phi = wrapped(phi + angle * rng.standard_normal(len(pt)))
    kept = (scale * pt > config.min_pt) & (np.abs(eta) < config.max_eta)
    kept = np.flatnonzero(kept)
    kept = kept[np.lexsort((-scale[kept] * pt[kept], found[kept]))]
    event = found[kept]
    first = np.searchsorted(event, np.arange(particles.num_events + 1))
    scale = scale[kept]
    return Jets(event, scale * pt[kept], eta[kept], phi[kept], scale * mass[kept], first)


def cluster(
    momentum: np.ndarray, energy: np.ndarray, counts: np.ndarray, config: JetFindingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Anti-kt jets of particles that are given event by event.

    Args:
        momentum: `[n, 3]` [GeV].
        energy: `[n]` [GeV].
        counts: `[events]` particles of each event.
        config: radius; jets below half of `min_pt` are not returned.

    Returns:
        `[j]` event and `[j, 4]` px, py, pz, E of each jet [GeV].
    """
    fastjet, ak = _fastjet()
    columns = {name: momentum[:, i] for i, name in enumerate(("px", "py", "pz"))}
    table = ak.zip(columns | {"E": energy}, with_name="Momentum4D")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, config.radius)
    sequence = fastjet.ClusterSequence(ak.unflatten(table, counts), definition)
    jets = sequence.inclusive_jets(min_pt=0.5 * config.min_pt)
    event = np.repeat(np.arange(len(counts)), ak.to_numpy(ak.num(jets)))
    names = ("px", "py", "pz", "E")
    return event, np.stack([ak.to_numpy(ak.flatten(jets[name])) for name in names], axis=1)


def _fastjet() -> tuple[Any, Any]:
    try:
        import awkward
        import fastjet
    except ImportError as error:
        raise InputError(
            "fastjet is not installed: pip install -r requirements-simulate.txt"
        ) from error
    # Its banner would go to the terminal of every process.
    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet, awkward


def nearest_jet(
    jets: Jets, event: np.ndarray, eta: np.ndarray, phi: np.ndarray, radius: float
) -> np.ndarray:
    """The nearest jet of the same event, if it is nearer than `radius`.

    Args:
        jets: of all events.
        event: `[n]`.
        eta: `[n]`.
        phi: `[n]` [rad].
        radius: in dR.

    Returns:
        `[n]` rows of `jets`, -1 where there is none.
    """
    best = np.full(len(event), -1)
    best_distance = np.full(len(event), radius**2)
    most = int(np.diff(jets.first).max(initial=0))
    for position in range(most):
        jet = jets.first[event] + position
        rows = np.flatnonzero(jet < jets.first[event + 1])
        jet = jet[rows]
        near = np.abs(eta[rows] - jets.eta[jet]) < radius
        rows, jet = rows[near], jet[near]
        distance = (eta[rows] - jets.eta[jet]) ** 2 + wrapped(phi[rows] - jets.phi[jet]) ** 2
        nearer = distance < best_distance[rows]
        best[rows[nearer]], best_distance[rows[nearer]] = jet[nearer], distance[nearer]
    return best
