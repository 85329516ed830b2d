"""Truth: heavy hadrons of a jet, its flavour, and the origin and vertex of its tracks."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.candidates import FAKE, PILEUP
from maskformer_jax.simulation.config import TruthConfig
from maskformer_jax.simulation.detector import Tracks
from maskformer_jax.simulation.events import (
    Particles,
    nearest_ancestor,
    transverse,
    weakly_decaying,
)
from maskformer_jax.simulation.jets import Jets, nearest_jet

TAU = 15
ORIGINS = {
    "pileup": 0,
    "fake": 1,
    "primary": 2,
    "fromB": 3,
    "fromBC": 4,
    "fromC": 5,
    "fromTau": 6,
    "otherSecondary": 7,
}
# K0_S and the strange baryons that decay weakly: Lambda, Sigma+-, Xi, Omega.
STRANGE = (310, 3122, 3112, 3222, 3312, 3322, 3334)
BOTTOM, CHARM, LIGHT, TAU_JET = 5, 4, 0, 15
NO_VERTEX = -2


class Hadrons(NamedTuple):
    """Weakly decaying heavy hadrons in jets; jets one after the other, b before c, then by pT.

    Attributes:
        jet: `[h]` row of the jet, rising.
        particle: `[h]` row of the particle.
        flavour: `[h]` 5 or 4.
        decay: `[h, 3]` where it decayed [mm].
    """

    jet: np.ndarray
    particle: np.ndarray
    flavour: np.ndarray
    decay: np.ndarray


class TrackTruth(NamedTuple):
    """Labels of the tracks.

    Attributes:
        origin: `[k]` one of `ORIGINS`.
        barcode: `[k]` of the nearest weakly decaying heavy hadron it comes from, else -1.
        vertex_index: `[k]` 0 primary vertex, then by distance; -2 for pile-up and fakes.
    """

    origin: np.ndarray
    barcode: np.ndarray
    vertex_index: np.ndarray


def find_hadrons(
    particles: Particles, jets: Jets, radius: float, config: TruthConfig
) -> tuple[Hadrons, np.ndarray]:
    """Heavy hadrons in jets, and the flavour of the jets.

    A hadron belongs to the nearest jet. It counts above the pT threshold; a c hadron from a b
    hadron that counts in the same jet is listed at any pT.

    Args:
        particles: of several events.
        jets: of those events.
        radius: within which a hadron belongs to a jet.
        config: the threshold.

    Returns:
        The hadrons, and `[j]` 5, 4, 0, or 15 for jets of a tau, in the order b, c, tau.
    """
    flavour = weakly_decaying(particles)
    taus = np.abs(particles.pdg_id) == TAU
    rows = np.flatnonzero((flavour > 0) | taus)
    pt, eta, phi = transverse(particles.momentum[rows])
    jet = nearest_jet(jets, particles.event[rows], eta, phi, radius)
    counts = (jet >= 0) & (pt > config.min_hadron_pt)

    label = np.full(len(jets.pt), LIGHT)
    for value, kind in ((TAU_JET, taus), (CHARM, flavour == 4), (BOTTOM, flavour == 5)):
        label[jet[counts & kind[rows]]] = value

    jet_of = np.full(len(flavour), -1)
    jet_of[rows[counts & (flavour[rows] == 5)]] = jet[counts & (flavour[rows] == 5)]
    mother = nearest_ancestor(particles, rows, flavour == 5)
    with_b = (jet >= 0) & (mother >= 0) & (jet_of[mother] == jet) & (flavour[rows] == 4)
    listed = np.flatnonzero((flavour[rows] > 0) & (counts | with_b))
    order = np.lexsort((-pt[listed], -flavour[rows[listed]], jet[listed]))
    listed = listed[order]
    particle = rows[listed]
    decay = decay_positions(particles, particle)
    return Hadrons(jet[listed], particle, flavour[particle], decay), label


def decay_positions(particles: Particles, rows: np.ndarray) -> np.ndarray:
    """`[k, 3]` where particles decayed, the vertex of their products [mm]."""
    position = np.full((len(particles.event), 3), np.nan)
    child = np.flatnonzero(particles.parent >= 0)
    position[particles.parent[child]] = particles.vertex[child]
    return position[rows]


def label_tracks(
    tracks: Tracks, particles: Particles, num_jets: int, config: TruthConfig
) -> TrackTruth:
    """Origin, parent and vertex of each track.

    The first that applies: pile-up, fake; otherSecondary if made in the material or with a
    weakly decaying strange hadron among its ancestors; fromTau; fromBC or fromC by the nearest
    c hadron and whether that has a b ancestor; fromB; primary.

    Args:
        tracks: of all jets.
        particles: of the events.
        num_jets: number of jets.
        config: distance within which vertices are one.
    """
    source = tracks.truth.source
    hard = np.flatnonzero(tracks.truth.particle >= 0)
    origin = np.full(len(source), ORIGINS["otherSecondary"])
    origin[source == PILEUP], origin[source == FAKE] = ORIGINS["pileup"], ORIGINS["fake"]
    origin[hard], parent = origins(particles, tracks.truth.particle[hard])
    barcode = np.full(len(source), -1)
    barcode[hard] = np.where(parent >= 0, particles.index[parent], -1)
    known = np.isin(source, (PILEUP, FAKE), invert=True)
    vertex = np.full(len(source), NO_VERTEX)
    rows = np.flatnonzero(known)
    merging = config.vertex_merging
    vertex[rows] = vertex_indices(tracks.jet[rows], tracks.truth.vertex[rows], num_jets, merging)
    return TrackTruth(origin, barcode, vertex)


def origins(particles: Particles, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origin of stable particles of the hard collision, and the heavy hadron they come from.

    Args:
        particles: of several events.
        rows: `[k]` stable particles.

    Returns:
        `[k]` values of `ORIGINS`; `[k]` rows of the nearest weakly decaying b or c hadron, -1 for
        none and for otherSecondary.
    """
    flavour = weakly_decaying(particles)
    code = np.abs(particles.pdg_id)
    parent = nearest_ancestor(particles, rows, flavour > 0)
    bottom = nearest_ancestor(particles, rows, flavour == 5) >= 0
    charm = nearest_ancestor(particles, rows, flavour == 4) >= 0
    tau = nearest_ancestor(particles, rows, code == TAU) >= 0
    strange = nearest_ancestor(particles, rows, np.isin(code, STRANGE)) >= 0
    rules = [strange, tau, charm & bottom, charm, bottom]
    names = ["otherSecondary", "fromTau", "fromBC", "fromC", "fromB"]
    origin = np.select(rules, [ORIGINS[name] for name in names], ORIGINS["primary"])
    return origin, np.where(strange, -1, parent)


def vertex_indices(
    jet: np.ndarray, position: np.ndarray, num_jets: int, merging: float
) -> np.ndarray:
    """Number of the vertex of each track in its jet.

    Vertices are taken by their distance from the primary vertex; one that is closer than
    `merging` to an earlier one is the same.

    Args:
        jet: `[k]`.
        position: `[k, 3]` where each particle was made, the primary vertex at the origin [mm].
        num_jets: number of jets.
        merging: [mm].

    Returns:
        `[k]` from 0, the primary vertex.
    """
    index = np.zeros(len(jet), np.int64)
    distance = np.linalg.norm(position, axis=1)
    open_rows = np.flatnonzero(distance >= merging)
    open_rows = open_rows[np.lexsort((distance[open_rows], jet[open_rows]))]
    number = 0
    while len(open_rows):
        number += 1
        # The nearest track of each jet that has no vertex yet makes the next one.
        _, first = np.unique(jet[open_rows], return_index=True)
        seed = np.full(num_jets, -1)
        seed[jet[open_rows[first]]] = open_rows[first]
        apart = position[open_rows] - position[seed[jet[open_rows]]]
        same = np.linalg.norm(apart, axis=1) < merging
        index[open_rows[same]] = number
        open_rows = open_rows[~same]
    return index
