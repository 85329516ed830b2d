import numpy as np
import pytest

from maskformer_jax.evaluation.events import GEV_PER_TESLA_MM, Trajectories
from maskformer_jax.simulation.helix import perigee

FIELD = 2.0


def make(d0, phi, curvature):
    return Trajectories(*(np.atleast_1d(np.asarray(x, float)) for x in (d0, phi, curvature)))


@pytest.fixture(scope="module")
def tracks():
    """200 tracks of both charges from 0.5 GeV on, and their signed pT."""
    generator = np.random.default_rng(0)
    pt = generator.choice([-1, 1], 200) * generator.uniform(0.5, 20, 200)
    curvature = GEV_PER_TESLA_MM * FIELD / pt
    phi = generator.uniform(-np.pi, np.pi, 200)
    return make(generator.normal(0, 2, 200), phi, curvature), pt


@pytest.mark.parametrize("phi", [0.0, 0.7, 2.5, -1.9])
@pytest.mark.parametrize("d0", [0.4, -0.4, 0.0])
def test_a_straight_track_passes_at_d0_with_the_vertex_on_the_right(d0, phi):
    line = make(d0, phi, 0.0)
    points = line.points(np.linspace(-5, 5, 11)[None])[0]
    distance = np.hypot(*points.T)
    assert distance.min() == pytest.approx(abs(d0), abs=1e-12) and distance.argmin() == 5
    direction = np.array([np.cos(phi), np.sin(phi)])
    np.testing.assert_allclose(np.diff(points, axis=0), np.tile(direction, (10, 1)), atol=1e-12)
    # Positive where the origin is to the right of the direction of flight.
    x, y = -points[2]
    assert np.sign(direction[1] * x - direction[0] * y) == np.sign(d0)


def test_positive_charges_bend_to_the_right():
    x, y = make(0, 0, 1e-3).points(np.array([[100.0]]))[0, 0]
    # The sagitta of a circle with a radius of one metre.
    assert y == pytest.approx(-1000 * (1 - np.cos(0.1))) and x == pytest.approx(1000 * np.sin(0.1))


def test_every_point_has_the_perigee_of_the_helix_of_the_simulation(tracks):
    lines, pt = tracks
    for length in (-3.0, 0.0, 8.0, 60.0):
        path = np.full(200, length)
        points = lines.points(path[:, None])[:, 0]
        found = perigee(
            np.column_stack([points, np.zeros(200)]), np.abs(pt), np.zeros(200),
            lines.phi - path * lines.curvature, np.sign(pt), FIELD,
        )  # fmt: skip
        np.testing.assert_allclose(found.d0, lines.d0, atol=1e-9)
        np.testing.assert_allclose(np.exp(1j * found.phi), np.exp(1j * lines.phi), atol=1e-10)


def test_an_almost_straight_track_is_straight(tracks):
    lines, _ = tracks
    path = np.tile(np.linspace(-2, 50, 7), (200, 1))
    straight = lines._replace(curvature=np.zeros(200)).points(path)
    np.testing.assert_allclose(
        lines._replace(curvature=np.full(200, 1e-13)).points(path), straight, atol=1e-9
    )


def test_the_closest_point_is_that_of_the_circle(tracks):
    lines, _ = tracks
    along = np.random.default_rng(1).uniform(1, 150, 200)
    position = lines.points(along[:, None])[:, 0] + np.random.default_rng(2).normal(0, 2, (200, 2))
    closest = lines.points(lines.path_to(position)[:, None])[:, 0]
    radius = 1 / lines.curvature
    normal = np.stack([np.sin(lines.phi), -np.cos(lines.phi)], axis=-1)
    centre = (radius - lines.d0)[:, None] * normal
    expected = np.abs(np.hypot(*(position - centre).T) - np.abs(radius))
    np.testing.assert_allclose(np.hypot(*(position - closest).T), expected, atol=1e-6)
