"""Candidates -> tracks as a detector measures them: hits, efficiency, resolution, cuts."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.simulation.candidates import FAKE, Candidates, take
from maskformer_jax.simulation.config import (
    ClusterConfig,
    ResolutionConfig,
    SimulationConfig,
    TrackerConfig,
)
from maskformer_jax.simulation.events import wrapped
from maskformer_jax.simulation.helix import Perigee
from maskformer_jax.simulation.jets import Jets, nearest_jet

SIDES = 2


class Hits(NamedTuple):
    """Hits of `k` tracks.

    Attributes:
        pixels: `[k, layers]` hits in each pixel layer.
        strips: `[k]` hits in the strips.
        pixel_holes: `[k]` pixel layers crossed without a hit.
        strip_holes: `[k]` sides of strip layers crossed without a hit.
        first: `[k]` first pixel layer with a hit; 0 for tracks without any.
    """

    pixels: np.ndarray
    strips: np.ndarray
    pixel_holes: np.ndarray
    strip_holes: np.ndarray
    first: np.ndarray


class Shared(NamedTuple):
    """Hits that belong to several tracks.

    Attributes:
        pixel_shared: `[k, layers]` 0 or 1.
        pixel_split: `[k, layers]` 0 or 1.
        strips: `[k]` number.
    """

    pixel_shared: np.ndarray
    pixel_split: np.ndarray
    strips: np.ndarray


class Tracks(NamedTuple):
    """Reconstructed tracks, the jets one after the other.

    Attributes:
        jet: `[k]` row of the jet, rising.
        truth: leaves `[k]`, what they come from.
        perigee: leaves `[k]`, as measured, with respect to the measured primary vertex.
        sigma: `[k, 5]` reported uncertainties of d0 [mm], z0 sin(theta) [mm], phi [rad],
            theta [rad], q/p [1/GeV]; the vertex is included in the first two.
        hits: leaves `[k, ...]`.
        shared: leaves `[k, ...]`.
    """

    jet: np.ndarray
    truth: Candidates
    perigee: Perigee
    sigma: np.ndarray
    hits: Hits
    shared: Shared


def reconstruct(
    candidates: Candidates, jets: Jets, config: SimulationConfig, rng: np.random.Generator
) -> Tracks:
    """The tracks in each jet.

    Args:
        candidates: what may be a track, of all events.
        jets: of all events.
        config: geometry, resolution, cuts.
        rng: of everything.
    """
    cone = config.jet_finding.radius
    vertex = rng.standard_normal((len(jets.first) - 1, 3)) * np.array(config.beam.vertex_resolution)
    hits = detector_hits(candidates.radius, config.tracker, rng)
    number = hits.pixels.sum(axis=1)
    rows = (number >= config.tracker.min_pixel_hits) & (number > 0)
    rows &= number + hits.strips >= config.tracker.min_silicon_hits
    rows &= rng.random(len(rows)) < efficiency(candidates, config.tracker)
    candidates, hits = take(candidates, rows), Hits(*(leaf[rows] for leaf in hits))

    measured, sigma = measure(candidates, hits.first, vertex, config, rng)
    inside = within_cuts(measured, config.tracker)
    jet = nearest_jet(jets, candidates.event, measured.eta, measured.phi, cone)
    rows = np.flatnonzero(inside & (jet >= 0))
    rows = rows[np.argsort(jet[rows], kind="stable")]
    _, close = neighbours(jet[rows], measured.eta[rows], measured.phi[rows], config.tracker)
    rows = rows[rng.random(len(rows)) < config.tracker.close_efficiency**close]
    part = Perigee(*(leaf[rows] for leaf in measured))
    distance, _ = neighbours(jet[rows], part.eta, part.phi, config.tracker)
    kept = Hits(*(leaf[rows] for leaf in hits))
    fake = candidates.source[rows] == FAKE
    shared = shared_hits(distance, kept, fake, config.clusters, config.tracker, rng)
    return Tracks(jet[rows], take(candidates, rows), part, sigma[rows], kept, shared)


def detector_hits(radius: np.ndarray, config: TrackerConfig, rng: np.random.Generator) -> Hits:
    """Hits and holes in the layers beyond the production radius `[k]` [mm]."""
    crossed = radius[:, None] < np.array(config.pixel_radii)
    found = crossed & (rng.random(crossed.shape) < config.hit_efficiency)
    overlap = np.full(len(config.pixel_radii), config.pixel_overlap)
    overlap[0] = config.innermost_overlap
    pixels = found * (1 + (rng.random(crossed.shape) < overlap))
    sides = np.repeat(radius[:, None] < np.array(config.strip_radii), SIDES, axis=1)
    strips = sides & (rng.random(sides.shape) < config.strip_efficiency)
    twice = strips & (rng.random(sides.shape) < config.strip_overlap)
    return Hits(
        pixels=pixels,
        strips=strips.sum(axis=1) + twice.sum(axis=1),
        pixel_holes=(crossed & ~found).sum(axis=1),
        strip_holes=(sides & ~strips).sum(axis=1),
        first=np.argmax(found, axis=1),
    )


def efficiency(candidates: Candidates, config: TrackerConfig) -> np.ndarray:
    """`[k]` probability that a track is found when it is alone."""
    pt, eta = 1 / np.abs(candidates.perigee.q_over_pt), candidates.perigee.eta
    above = np.maximum(pt - config.min_pt, 0.0)
    lost = config.efficiency_pt_loss * np.exp(-above / config.efficiency_pt_scale)
    value = config.efficiency * (1 - lost) * (1 - config.efficiency_eta_loss * (eta / 2.5) ** 2)
    late = np.maximum(candidates.radius - config.pixel_radii[0], 0.0)
    value *= np.exp(-late / config.efficiency_radius)
    return value * np.where(candidates.electron, config.electron_efficiency, 1.0)


def resolutions(pt: np.ndarray, eta: np.ndarray, config: ResolutionConfig) -> np.ndarray:
    """`[k, 5]` widths of d0, z0 sin(theta) [mm], phi, theta [rad] and q/p [1/GeV], without the
    factor of the first layer and without the vertex."""
    sin = 1 / np.cosh(eta)
    m = 1 / (pt * np.sqrt(sin))
    columns = [a * np.sqrt(1 + (b * m) ** 2) for a, b in (config.d0, config.z0, config.phi)]
    a, b = config.theta
    columns.append(a * sin**2 * np.sqrt(1 + (b * m) ** 2))
    a, b, c = config.q_over_p
    columns.append(a * sin * np.sqrt(1 + (b / pt) ** 2) * (1 + c * (eta / 2.5) ** 2))
    return np.stack(columns, axis=1)


def measure(
    candidates: Candidates, first_layer: np.ndarray, vertex: np.ndarray,
    config: SimulationConfig, rng: np.random.Generator,
) -> tuple[Perigee, np.ndarray]:  # fmt: skip
    """Smeared track parameters with respect to the smeared primary vertex.

    Args:
        candidates: with the true parameters.
        first_layer: `[k]` first pixel layer with a hit.
        vertex: `[events, 3]` measured minus true primary vertex [mm].
        config: resolutions.
        rng: of everything.

    Returns:
        Perigee, and the reported uncertainties `[k, 5]` as in `Tracks.sigma`.
    """
    shape = config.resolution
    true = moved(candidates.perigee, vertex[candidates.event])
    sigma = resolutions(1 / np.abs(true.q_over_pt), true.eta, shape)
    factor = np.array(shape.first_layer)[first_layer]
    sigma[:, :2] *= factor[:, None]
    sigma[:, 2:4] *= np.sqrt(factor)[:, None]
    # A fake is no particle that resolution could move.
    real = (candidates.source != FAKE)[:, None]
    shift = real * sigma * _tails(sigma.shape, shape, rng) * rng.standard_normal(sigma.shape)

    sin = 1 / np.cosh(true.eta)
    theta = np.arccos(np.tanh(true.eta)) + shift[:, 3]
    theta = np.clip(theta, 1e-3, np.pi - 1e-3)
    q_over_p = true.q_over_pt * sin + shift[:, 4]
    measured = Perigee(
        d0=true.d0 + shift[:, 0],
        z0=(true.z0 * sin + shift[:, 1]) / np.sin(theta),
        phi=wrapped(true.phi + shift[:, 2]),
        eta=-np.log(np.tan(theta / 2)),
        q_over_pt=q_over_p / np.sin(theta),
    )
    across, _, along = config.beam.vertex_resolution
    sigma[:, 0] = np.hypot(sigma[:, 0], across)
    sigma[:, 1] = np.hypot(sigma[:, 1], along * sin)
    spread = 1 + shape.uncertainty_spread * rng.standard_normal(sigma.shape)
    return measured, sigma * np.maximum(spread, 0.1)


def moved(perigee: Perigee, vertex: np.ndarray) -> Perigee:
    """Parameters with respect to a vertex `[k, 3]` that is so near that tracks are straight."""
    cos, sin = np.cos(perigee.phi), np.sin(perigee.phi)
    along = vertex[:, 0] * cos + vertex[:, 1] * sin
    return perigee._replace(
        d0=perigee.d0 + vertex[:, 0] * sin - vertex[:, 1] * cos,
        z0=perigee.z0 - vertex[:, 2] + along * np.sinh(perigee.eta),
    )


def _tails(
    shape: tuple[int, ...], config: ResolutionConfig, rng: np.random.Generator
) -> np.ndarray:
    edges = np.cumsum(config.tail_fractions)
    factors = np.array([*config.tail_factors, 1.0])
    return factors[np.searchsorted(edges, rng.random(shape), side="right")]


def within_cuts(perigee: Perigee, config: TrackerConfig) -> np.ndarray:
    """`[k]` tracks inside the cuts on pT, eta and impact parameters."""
    pt = 1 / np.maximum(np.abs(perigee.q_over_pt), 1e-12)
    inside = (pt > config.min_pt) & (np.abs(perigee.eta) < config.max_eta)
    inside &= np.abs(perigee.d0) < config.max_d0
    return inside & (np.abs(perigee.z0) / np.cosh(perigee.eta) < config.max_z0)


def neighbours(
    jet: np.ndarray, eta: np.ndarray, phi: np.ndarray, config: TrackerConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest track in the same jet, and how many are close.

    Args:
        jet: `[k]` rising.
        eta: `[k]`.
        phi: `[k]` [rad].
        config: what is close.

    Returns:
        `[k]` distance in dR, infinite for a track that is alone; `[k]` number of close tracks.
    """
    nearest, close = np.full(len(jet), np.inf), np.zeros(len(jet), np.int64)
    # Each pair of a jet once: all tracks against the one that comes `step` places later.
    step = 1
    rows = np.arange(len(jet))
    while True:
        rows = rows[rows + step < len(jet)]
        rows = rows[jet[rows] == jet[rows + step]]
        if len(rows) == 0:
            return nearest, close
        other = rows + step
        distance = np.hypot(eta[rows] - eta[other], wrapped(phi[rows] - phi[other]))
        near = distance < config.close_distance
        for one in (rows, other):
            nearest[one] = np.minimum(nearest[one], distance)
            close[one] += near
        step += 1


def shared_hits(
    distance: np.ndarray, hits: Hits, fake: np.ndarray, config: ClusterConfig,
    tracker: TrackerConfig, rng: np.random.Generator,
) -> Shared:  # fmt: skip
    """Hits shared with a neighbour or split from its, and those shared by chance.

    Args:
        distance: `[k]` to the nearest track, in dR.
        hits: of the tracks.
        fake: `[k]` tracks of unrelated hits.
        config: probabilities.
        tracker: radii of the layers.
        rng: of everything.
    """
    pixel = _merged(distance, fake, tracker.pixel_radii, config)
    chance = np.zeros(pixel.shape)
    chance[:, 0] = np.where(fake, config.fake_innermost, config.innermost_noise)
    there = hits.pixels > 0
    split = there & (rng.random(pixel.shape) < config.pixel_split * pixel)
    shared = there & (rng.random(pixel.shape) < chance + config.pixel_shared * pixel)
    strip = _merged(distance, fake, tracker.strip_radii, config)
    sides = rng.binomial(SIDES, config.strip_shared * strip).sum(axis=1)
    sides += rng.poisson(np.where(fake, config.fake_strips, config.strip_noise))
    return Shared(shared, split, np.minimum(sides, hits.strips))


def _merged(
    distance: np.ndarray, fake: np.ndarray, radii: list[float], config: ClusterConfig
) -> np.ndarray:
    """`[k, layers]` how much two tracks overlap in a layer, 0 to 1; fakes have no neighbour."""
    apart = np.minimum(distance, 10.0)[:, None] * np.array(radii)
    overlap = np.exp(-np.maximum(apart - config.merged, 0.0) / config.distance)
    overlap[fake] = 0.0
    return overlap
