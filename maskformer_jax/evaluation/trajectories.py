"""Tracks as lines in the transverse plane, near the primary vertex."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Speed of light, which turns T mm into GeV.
GEV_PER_TESLA_MM = 0.299792458e-3


class Trajectories(NamedTuple):
    """Tracks in the frame whose x axis is the jet, seen along the beam.

    Attributes:
        d0: signed distance to the primary vertex; that point is d0 (-sin phi, cos phi) [mm].
        phi: direction there [rad].
        curvature: turn to the right per path length, 0.2998e-3 B q/pT [1/mm]; zero for straight.
    """

    d0: Float[np.ndarray, " T"]
    phi: Float[np.ndarray, " T"]
    curvature: Float[np.ndarray, " T"]

    def points(self, path: Float[np.ndarray, " T S"]) -> Float[np.ndarray, "T S 2"]:
        """Where the tracks are after a path length from the perigee [mm].

        A chord of the circle: its direction is phi - s curvature/2, its length
        s sinc(s curvature/2), which is exact and needs no radius.
        """
        path = np.asarray(path, np.float64)
        phi, d0 = self.phi[:, None], self.d0[:, None]
        half_turn = path * self.curvature[:, None] / 2
        chord = path * np.sinc(half_turn / np.pi)
        direction = phi - half_turn
        return np.stack(
            [-d0 * np.sin(phi) + chord * np.cos(direction),
             d0 * np.cos(phi) + chord * np.sin(direction)],
            axis=-1,
        )  # fmt: skip

    def path_to(self, position: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, " T"]:
        """Path length from the perigee to the point closest to a position [mm]."""
        path = np.zeros(len(self.d0))
        # Each step goes along the tangent; bends are small over the steps, so that three do.
        for _ in range(3):
            heading = self.phi - path * self.curvature
            away = position - self.points(path[:, None])[:, 0]
            path = path + away[:, 0] * np.cos(heading) + away[:, 1] * np.sin(heading)
        return path
