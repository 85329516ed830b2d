"""Single jets with their tracks and their true and predicted hadrons, to be drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, Records
from maskformer_jax.data.h5 import select
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.events import (
    GEV_PER_TESLA_MM,
    Event,
    Events,
    Hadron,
    Trajectories,
    View,
)
from maskformer_jax.evaluation.residuals import units
from maskformer_jax.evaluation.section import MEV_PER_GEV, Chunk, Setting, optional
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS

PILEUP, NONE = "pileup", "none"
# Fields of the tracks without which there is no picture.
NEEDED = ("track_d0", "track_deta", "track_dphi")
MIN_VERTEX_TRACKS = 2


class Classes(NamedTuple):
    """A classification: its task, label and classes; none of these where there is no such."""

    task: str = ""
    label: str = ""
    names: Sequence[str] = ()


class Names(NamedTuple):
    """What is shown of a model, by the names in its configuration.

    Attributes:
        config: of the run.
        stream: of the constituents of the objects.
        objects: their entry in the data.
        of: classes of the objects.
        targets: their properties.
        jets: classes of the jets.
        origin: classes of the constituents.
    """

    config: Config
    stream: str
    objects: str
    of: Classes
    targets: list[str]
    jets: Classes
    origin: Classes


def is_wanted(config: Config) -> bool:
    """Whether the configuration asks for a picture."""
    display = config.evaluation.display
    return bool(display.jets or display.first)


def cannot(setting: Setting) -> str | None:
    """Why there can be no event display; none: there can be."""
    if not any(map(_is_shown, setting.tasks)):
        return "no task finds objects with classes and masks"
    return None


def _is_shown(task: Task) -> bool:
    losses = getattr(task.options, "losses", None)
    return bool(losses and losses.object_class and (losses.mask_ce or losses.mask_dice))


def names_of(setting: Setting) -> Names:
    """Of a setting in which there can be a display."""
    task = next(filter(_is_shown, setting.tasks))
    losses, objects = task.options.losses, task.options.objects
    stream, label = setting.schema.objects[objects].of, losses.object_class.label

    def classes(of: str) -> Classes:
        for other in setting.tasks:
            if other.options.kind == "classification" and setting.place(other) == of:
                return Classes(other.name, other.options.label, setting.classes(other))
        return Classes()

    kinds = Classes(task.name, label, list(setting.schema.labels[label].classes))
    targets = list(losses.regression.targets) if losses.regression else []
    return Names(setting.config, stream, objects, kinds, targets, classes(JETS), classes(stream))


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

    def drawn(self, label: str) -> Events:
        """All that are to be drawn, of a model with this label."""
        return Events(units(self._names.config.evaluation.fields), label, self.events)


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
    eta = optional(jet, fields.jet_eta)
    # 1/MeV -> 1/GeV, and from the momentum to its transverse part.
    q_over_pt = optional(table, fields.track_q_over_p) * MEV_PER_GEV * np.cosh(eta + deta)
    curvature = GEV_PER_TESLA_MM * names.config.evaluation.display.magnetic_field * q_over_pt
    with np.errstate(divide="ignore"):
        track_pt = 1 / np.abs(q_over_pt)
    return Event(
        int(records.rows[0]),
        float(optional(jet, fields.jet_pt)) / MEV_PER_GEV,
        float(eta),
        Trajectories(d0, dphi, np.where(np.isfinite(curvature), curvature, 0.0)),
        np.stack([deta, dphi], axis=-1),
        np.broadcast_to(track_pt, d0.shape),
        _truth(chunk, index, records, names, len(d0)),
        _prediction(chunk, index, names, len(d0)),
    )


def _truth(chunk: Chunk, index: int, records: Records, names: Names, number: int) -> View | None:
    if names.objects not in chunk.labels or names.of.label not in chunk.labels:
        return None
    valid, masks = (x[index] for x in chunk.labels[names.objects])
    kinds = chunk.labels[names.of.label][index]
    found = {int(slot): {names.of.names[kinds[slot]]: 1.0} for slot in np.flatnonzero(valid)}
    table, jet = records.objects[names.objects][0], records.jets[0]
    decays = {slot: _decay(table[slot], jet, names.config) for slot in found}
    slots = np.where(masks.any(axis=0), masks.argmax(axis=0), -1)[:number]
    flavour, origin = {}, np.full(number, -1)
    if names.jets.label in chunk.labels:
        label = int(chunk.labels[names.jets.label][index])
        flavour = {names.jets.names[label]: 1.0} if label >= 0 else {}
    if names.origin.label in chunk.labels:
        origin = chunk.labels[names.origin.label][index, :number]
    hadrons = _hadrons(found, chunk.true, index, slots, names, decays)
    return View(flavour, hadrons, slots, origin == _pileup(names))


def _prediction(chunk: Chunk, index: int, names: Names, number: int) -> View:
    given, kinds = chunk.predictions[names.of.task], [*names.of.names, NONE]
    slots = given["mask_index"][index, :number]
    found = {
        slot: dict(zip(kinds, prob.tolist(), strict=True))
        for slot, prob in enumerate(given["class_prob"][index])
        if np.argmax(prob) < len(kinds) - 1
    }
    flavour, origin = {}, np.full(number, -1)
    if names.jets.task:
        prob = np.exp(chunk.predictions[names.jets.task]["log_prob"][index])
        flavour = dict(zip(names.jets.names, prob.tolist(), strict=True))
    if names.origin.task:
        origin = chunk.predictions[names.origin.task]["log_prob"][index, :number].argmax(axis=-1)
    hadrons = _hadrons(found, chunk.predicted, index, slots, names, {})
    return View(flavour, hadrons, slots, origin == _pileup(names))


def _hadrons(
    found: Mapping[int, dict[str, float]],
    properties: Mapping[str, np.ndarray],
    index: int,
    slots: np.ndarray,
    names: Names,
    decays: Mapping[int, tuple[float, float] | None],
) -> list[Hadron]:
    """Objects by their slots, with what is known of them."""
    fields, values, hadrons = names.config.evaluation.fields, {}, []
    label = f"{names.of.task}.regression"
    for slot, class_prob in found.items():
        if label in properties:
            row = properties[label][index, slot].tolist()
            values = dict(zip(names.targets, row, strict=True))
        position, tracks = decays.get(slot), int(np.count_nonzero(slots == slot))
        options = fields.hadron_length, fields.hadron_deta, fields.hadron_dphi
        length, deta, dphi = map(values.get, options)
        if position is None and length is not None and math.isfinite(length):
            # Without its angle the best guess is that the hadron flies along the jet.
            angle = dphi or 0.0
            position = (length * math.cos(angle), length * math.sin(angle))
        direction = None if deta is None or dphi is None else (deta, dphi)
        kind = max(range(len(names.of.names)), key=lambda i: class_prob.get(names.of.names[i], 0.0))
        hadrons.append(Hadron(slot, kind, class_prob, values, position, direction, tracks))
    return hadrons


def _decay(hadron: np.void, jet: np.void, config: Config) -> tuple[float, float] | None:
    """Where a true hadron decayed with respect to the jet axis, if the file has the position."""
    fields = config.evaluation.fields
    x, y = (float(optional(hadron, name)) for name in (fields.hadron_x, fields.hadron_y))
    phi = float(optional(jet, fields.jet_phi))
    if not math.isfinite(x + y + phi):
        return None
    cos, sin = math.cos(phi), math.sin(phi)
    return (x * cos + y * sin, y * cos - x * sin)


def _pileup(names: Names) -> int:
    """Index of the origin of pile-up tracks; one that no track has where it is not a class."""
    origins = names.origin.names
    return origins.index(PILEUP) if PILEUP in origins else len(origins)
