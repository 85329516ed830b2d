"""A jet as an event display shows it: its tracks as lines, its true and predicted hadrons."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

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


class Hadron(NamedTuple):
    """A true hadron or a predicted object.

    Attributes:
        slot: position among the objects of the jet; a prediction has that of its true hadron.
        kind: class, the likeliest of a prediction.
        class_prob: probability of each class; a true hadron has its class alone.
        properties: value of each regression target in the unit of the file.
        position: where it decays, in the frame of the tracks [mm]; none: not known.
        direction: deta and dphi with respect to the jet; none: not known.
        tracks: how many belong to it.
    """

    slot: int
    kind: int
    class_prob: dict[str, float]
    properties: dict[str, float]
    position: tuple[float, float] | None
    direction: tuple[float, float] | None
    tracks: int


class View(NamedTuple):
    """The truth or the prediction of a jet.

    Attributes:
        class_prob: probability of each flavour; the truth has its flavour alone.
        hadrons: its objects.
        slot: object of each track, -1 for none.
        pileup: tracks of other collisions.
    """

    class_prob: dict[str, float]
    hadrons: list[Hadron]
    slot: Int[np.ndarray, " T"]
    pileup: Bool[np.ndarray, " T"]


class Event(NamedTuple):
    """A jet.

    Attributes:
        row: in the test file.
        pt: of the jet [GeV], NaN where the file does not say.
        eta: of the jet, likewise.
        tracks: lines of its tracks, as many as the model sees, around the jet axis.
        directions: deta and dphi of the tracks with respect to the jet.
        track_pt: their transverse momenta [GeV], NaN where the file does not say.
        truth: none for a file without truth.
        prediction: of the model.
    """

    row: int
    pt: float
    eta: float
    tracks: Trajectories
    directions: Float[np.ndarray, "T 2"]
    track_pt: Float[np.ndarray, " T"]
    truth: View | None
    prediction: View


class Events(NamedTuple):
    """Some jets, and what is needed to draw them.

    Attributes:
        units: of the properties of hadrons that have one.
        label: of the model.
        events: the jets.
    """

    units: dict[str, str]
    label: str
    events: list[Event]
