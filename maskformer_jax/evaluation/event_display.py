"""Single jets with their tracks and their true and predicted hadrons, to be drawn."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, Records
from maskformer_jax.data.h5 import select
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.event_names import Names, is_wanted, names_of
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, Setting
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


class EventDisplay:
    """Collects the jets that the configuration asks for."""

    def __init__(self, setting: Setting, file: JetFile):
        """Starts empty.

        Args:
            setting: of the test file; `evaluation.display` says which jets.
            file: the test file.

        Raises:
            InputError: the file has no such row, has no truth by which to choose the first jets, or
                lacks the field of the tracks that `evaluation.fields` names as `track_d0`,
                `track_deta` or `track_dphi`.
        """
        display, self._names = setting.config.evaluation.display, names_of(setting)
        beyond = [row for row in display.jets if row >= file.num_jets]
        if beyond:
            raise InputError(
                f"`evaluation.display.jets` must be below {file.num_jets:,}, the number of jets of "
                f"{file.path}; got {beyond[0]}"
            )
        self._signal = _first_signal(self._names) if display.first else None
        needed = [self._names.objects, *([self._names.jets.label] if self._signal else [])]
        if display.first and not setting.has(*needed):
            raise InputError(
                f"`evaluation.display.first` chooses by the true vertices, and {file.path} has no "
                "truth; choose rows by `evaluation.display.jets`"
            )
        if is_wanted(setting.config):
            _check_fields(file, self._names)
        self.events: list[Event] = []
        self._rows = set(display.jets)
        self._missing = display.first

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets and keeps those that are to be drawn."""
        wanted = np.isin(chunk.records.rows, list(self._rows))
        if self._missing:
            masks = chunk.labels[self._names.objects].masks
            vertex = (masks.sum(axis=-1) >= MIN_VERTEX_TRACKS).any(axis=-1)
            if self._signal:
                _, label, classes = self._names.jets
                vertex &= chunk.labels[label] == classes.index(self._signal)
            first = np.flatnonzero(vertex)[: self._missing]
            self._missing -= len(first)
            wanted[first] = True
        self.events += [read_event(chunk, int(n), self._names) for n in np.flatnonzero(wanted)]


def _first_signal(names: Names) -> str | None:
    """Signal of the first discriminant for the classes of the jets."""
    signals = [d.signal for d in names.config.evaluation.discriminants.values()]
    return next((signal for signal in signals if signal in names.jets.names), None)


def _check_fields(file: JetFile, names: Names) -> None:
    there = file.read(0, 1).streams[names.stream].table.dtype.names
    for option in NEEDED:
        name = getattr(names.config.evaluation.fields, option)
        if name not in there:
            raise InputError(
                f"{file.path}: {names.stream} have no field `{name}`, which an event display "
                f"needs; name it by `evaluation.fields.{option}`"
            )


def read_event(chunk: Chunk, index: int, names: Names) -> Event:
    """The jet at a position of a chunk.

    Args:
        chunk: with or without truth.
        index: position of the jet in the chunk.
        names: of the fields and classes.
    """
    records = select(chunk.records, np.array([index]))
    fields, jet = names.config.evaluation.fields, records.jets[0]
    table, _ = records.streams[names.stream].kept()
    d0, deta, dphi = (table[getattr(fields, name)].astype(np.float64) for name in NEEDED)
    eta = _optional(jet, fields.jet_eta)
    # 1/MeV -> 1/GeV, and from the momentum to its transverse part.
    q_over_pt = _optional(table, fields.track_q_over_p) * MEV_PER_GEV * np.cosh(eta + deta)
    curvature = GEV_PER_TESLA_MM * names.config.evaluation.display.magnetic_field * q_over_pt
    with np.errstate(divide="ignore"):
        track_pt = 1 / np.abs(q_over_pt)
    return Event(
        int(records.rows[0]),
        float(_optional(jet, fields.jet_pt)) / MEV_PER_GEV,
        float(eta),
        Trajectories(d0, dphi, np.where(np.isfinite(curvature), curvature, 0.0)),
        np.stack([deta, dphi], axis=-1),
        np.broadcast_to(track_pt, d0.shape),
        _truth(chunk, index, records, names, len(d0)),
        _prediction(chunk, index, names, len(d0)),
    )


def _optional(table: np.ndarray | np.void, name: str) -> np.ndarray:
    """A field in double precision, NaN where the table does not have it."""
    if name in table.dtype.names:
        return np.asarray(table[name], np.float64)
    return np.full(np.shape(table), np.nan)


def _truth(chunk: Chunk, index: int, records: Records, names: Names, number: int) -> View | None:
    if names.objects not in chunk.labels or names.of.label not in chunk.labels:
        return None
    valid, masks = (x[index] for x in chunk.labels[names.objects])
    true = chunk.true.get(f"{names.of.task}.regression")
    hadrons = []
    for slot in np.flatnonzero(valid):
        values = (
            {}
            if true is None
            else dict(zip(names.targets, true[index, slot].tolist(), strict=True))
        )
        kind = names.of.names[chunk.labels[names.of.label][index, slot]]
        position = _decay(records.objects[names.objects][0, slot], records.jets[0], names.config)
        tracks = int(masks[slot].sum())
        hadrons.append(_hadron(slot, {kind: 1.0}, values, position, tracks, names))
    flavour, origin = {}, np.full(number, -1)
    if names.jets.label in chunk.labels:
        label = int(chunk.labels[names.jets.label][index])
        flavour = {names.jets.names[label]: 1.0} if label >= 0 else {}
    if names.origin.label in chunk.labels:
        origin = chunk.labels[names.origin.label][index, :number]
    slots = np.where(masks.any(axis=0), masks.argmax(axis=0), -1)[:number]
    return View(flavour, hadrons, slots, origin == _pileup(names))


def _prediction(chunk: Chunk, index: int, names: Names, number: int) -> View:
    found = chunk.predictions[names.of.task]
    predicted = chunk.predicted.get(f"{names.of.task}.regression")
    assigned = found["mask_index"][index, :number]
    hadrons = []
    for slot, prob in enumerate(found["class_prob"][index]):
        if np.argmax(prob) == len(names.of.names):
            continue
        values = {}
        if predicted is not None:
            values = dict(zip(names.targets, predicted[index, slot].tolist(), strict=True))
        class_prob = dict(zip([*names.of.names, NONE], prob.tolist(), strict=True))
        tracks = int(np.count_nonzero(assigned == slot))
        hadrons.append(_hadron(slot, class_prob, values, None, tracks, names))
    flavour, origin = {}, np.full(number, -1)
    if names.jets.task:
        prob = np.exp(chunk.predictions[names.jets.task]["log_prob"][index])
        flavour = dict(zip(names.jets.names, prob.tolist(), strict=True))
    if names.origin.task:
        origin = chunk.predictions[names.origin.task]["log_prob"][index, :number].argmax(axis=-1)
    return View(flavour, hadrons, assigned, origin == _pileup(names))


def _hadron(
    slot: int,
    class_prob: dict[str, float],
    values: dict[str, float],
    position: tuple[float, float] | None,
    tracks: int,
    names: Names,
) -> Hadron:
    fields = names.config.evaluation.fields
    length, deta, dphi = (
        values.get(name) for name in (fields.hadron_length, fields.hadron_deta, fields.hadron_dphi)
    )
    if position is None and length is not None and math.isfinite(length):
        # Without its angle the best guess is that the hadron flies along the jet.
        angle = dphi or 0.0
        position = (length * math.cos(angle), length * math.sin(angle))
    direction = None if deta is None or dphi is None else (deta, dphi)
    kind = names.of.names.index(max(names.of.names, key=lambda name: class_prob.get(name, 0.0)))
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


def _pileup(names: Names) -> int:
    """Index of the origin of pile-up tracks; one that no track has where it is not a class."""
    origins = names.origin.names
    return origins.index(PILEUP) if PILEUP in origins else len(origins)
