"""Single jets with their tracks and their true and predicted hadrons, to be drawn."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, Records
from maskformer_jax.data.h5 import kept_tracks, select
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.discriminants import flavour_indices
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk
from maskformer_jax.evaluation.trajectories import GEV_PER_TESLA_MM, Trajectories

PILEUP, NONE = "pileup", "none"
# Fields of the tracks without which there is no picture.
NEEDED = ("track_d0", "track_deta", "track_dphi")
MIN_VERTEX_TRACKS = 2


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


class EventDisplay:
    """Collects the jets that the configuration asks for."""

    def __init__(self, config: Config, file: JetFile):
        """Starts empty.

        Args:
            config: of the run; `evaluation.display` says which jets.
            file: the test file.

        Raises:
            InputError: the file has no such row, has no truth by which to choose the first jets, or
                lacks the field of the tracks that `evaluation.fields` names as `track_d0`,
                `track_deta` or `track_dphi`.
        """
        display = config.evaluation.display
        beyond = [row for row in display.jets if row >= file.num_jets]
        if beyond:
            raise InputError(
                f"`evaluation.display.jets` must be below {file.num_jets:,}, the number of jets of "
                f"{file.path}; got {beyond[0]}"
            )
        if display.first and not file.has_truth:
            raise InputError(
                f"`evaluation.display.first` chooses by the true vertices, and {file.path} has no "
                "truth; choose rows by `evaluation.display.jets`"
            )
        if display.jets or display.first:
            _check_fields(file, config)
        self.events: list[Event] = []
        self._config = config
        self._rows = set(display.jets)
        self._missing = display.first
        self._signal = flavour_indices(config.data.jets.classes).bottom if display.first else -1

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets and keeps those that are to be drawn."""
        wanted = np.isin(chunk.records.rows, list(self._rows))
        if self._missing:
            vertex = (chunk.targets.masks.sum(axis=-1) >= MIN_VERTEX_TRACKS).any(axis=-1)
            vertex &= chunk.targets.jet_class_index == self._signal
            first = np.flatnonzero(vertex)[: self._missing]
            self._missing -= len(first)
            wanted[first] = True
        self.events += [read_event(chunk, int(n), self._config) for n in np.flatnonzero(wanted)]


def _check_fields(file: JetFile, config: Config) -> None:
    names = file.read(0, 1).tracks.dtype.names
    for option in NEEDED:
        name = getattr(config.evaluation.fields, option)
        if name not in names:
            raise InputError(
                f"{file.path}: dataset `{config.data.tracks.dataset}` has no field `{name}`, which "
                f"an event display needs; name it by `evaluation.fields.{option}`"
            )


def read_event(chunk: Chunk, index: int, config: Config) -> Event:
    """The jet at a position of a chunk.

    Args:
        chunk: with or without truth.
        index: position of the jet in the chunk.
        config: names of the fields and classes.
    """
    records = select(chunk.records, np.array([index]))
    fields, jet = config.evaluation.fields, records.jets[0]
    table, _ = kept_tracks(records)
    d0, deta, dphi = (table[getattr(fields, name)].astype(np.float64) for name in NEEDED)
    eta = _optional(jet, fields.jet_eta)
    # 1/MeV -> 1/GeV, and from the momentum to its transverse part.
    q_over_pt = _optional(table, fields.track_q_over_p) * MEV_PER_GEV * np.cosh(eta + deta)
    curvature = GEV_PER_TESLA_MM * config.evaluation.display.magnetic_field * q_over_pt
    with np.errstate(divide="ignore"):
        track_pt = 1 / np.abs(q_over_pt)
    return Event(
        int(records.rows[0]),
        float(_optional(jet, fields.jet_pt)) / MEV_PER_GEV,
        float(eta),
        Trajectories(d0, dphi, np.where(np.isfinite(curvature), curvature, 0.0)),
        np.stack([deta, dphi], axis=-1),
        np.broadcast_to(track_pt, d0.shape),
        None if records.hadrons is None else _truth(chunk, index, records, config),
        _prediction(chunk, index, config, len(d0)),
    )


def _optional(table: np.ndarray | np.void, name: str) -> np.ndarray:
    """A field in double precision, NaN where the table does not have it."""
    if name in table.dtype.names:
        return np.asarray(table[name], np.float64)
    return np.full(np.shape(table), np.nan)


def _truth(chunk: Chunk, index: int, records: Records, config: Config) -> View:
    data = config.data
    masks = chunk.targets.masks[index]
    origin = chunk.targets.origin_index[index]
    label, number = chunk.targets.jet_class_index[index], int((records.track_index >= 0).sum())
    classes, kinds = list(data.jets.classes), list(data.hadrons.classes)
    hadrons = []
    for slot in np.flatnonzero(chunk.targets.object_valid[index]):
        values = dict(zip(data.hadrons.targets, chunk.true[index, slot].tolist(), strict=True))
        kind = kinds[chunk.targets.object_class_index[index, slot]]
        position = _decay(records.hadrons[0, slot], records.jets[0], config)
        hadrons.append(_hadron(slot, {kind: 1.0}, values, position, int(masks[slot].sum()), config))
    return View(
        {classes[label]: 1.0} if label >= 0 else {},
        hadrons,
        np.where(masks.any(axis=0), masks.argmax(axis=0), -1)[:number],
        (origin == _pileup(config))[:number],
    )


def _prediction(chunk: Chunk, index: int, config: Config, number: int) -> View:
    data, predictions = config.data, chunk.predictions
    assigned = predictions.mask_index[index, :number]
    kinds = [*data.hadrons.classes, NONE]
    hadrons = []
    for slot, prob in enumerate(predictions.object_prob[index]):
        if np.argmax(prob) == len(data.hadrons.classes):
            continue
        values = dict(zip(data.hadrons.targets, chunk.predicted[index, slot].tolist(), strict=True))
        class_prob = dict(zip(kinds, prob.tolist(), strict=True))
        tracks = int(np.count_nonzero(assigned == slot))
        hadrons.append(_hadron(slot, class_prob, values, None, tracks, config))
    prob = np.exp(predictions.jet_log_prob[index]).tolist()
    origin = predictions.origin_prob[index, :number].argmax(axis=-1)
    return View(
        dict(zip(data.jets.classes, prob, strict=True)),
        hadrons,
        assigned,
        origin == _pileup(config),
    )


def _hadron(
    slot: int,
    class_prob: dict[str, float],
    values: dict[str, float],
    position: tuple[float, float] | None,
    tracks: int,
    config: Config,
) -> Hadron:
    fields = config.evaluation.fields
    length, deta, dphi = (
        values.get(name) for name in (fields.hadron_length, fields.hadron_deta, fields.hadron_dphi)
    )
    if position is None and length is not None and math.isfinite(length):
        # Without its angle the best guess is that the hadron flies along the jet.
        angle = dphi or 0.0
        position = (length * math.cos(angle), length * math.sin(angle))
    direction = None if deta is None or dphi is None else (deta, dphi)
    names = list(config.data.hadrons.classes)
    kind = names.index(max(names, key=lambda name: class_prob.get(name, 0.0)))
    return Hadron(int(slot), kind, class_prob, values, position, direction, tracks)


def _decay(hadron: np.void, jet: np.void, config: Config) -> tuple[float, float] | None:
    """Where a true hadron decayed with respect to the jet axis, if the file has the position."""
    fields = config.evaluation.fields
    x, y = (float(_optional(hadron, name)) for name in (fields.hadron_x, fields.hadron_y))
    phi = float(_optional(jet, fields.jet_phi))
    if not math.isfinite(x + y + phi):
        return None
    cos, sin = math.cos(phi), math.sin(phi)
    return (x * cos + y * sin, y * cos - x * sin)


def _pileup(config: Config) -> int:
    """Index of the origin of pile-up tracks; one that no track has where it is not a class."""
    origins = list(config.data.tracks.origin_classes)
    return origins.index(PILEUP) if PILEUP in origins else len(origins)
