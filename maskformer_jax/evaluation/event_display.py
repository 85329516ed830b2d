"""Single jets with their tracks and their true and predicted hadrons, to be drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.data import JetFile, Records
from maskformer_jax.data.h5 import select
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.config import FieldsConfig
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
        display, self._setting = setting.config.evaluation.display, setting
        self._fields = setting.config.evaluation.fields
        task = next(filter(_is_shown, setting.tasks))
        losses, self._objects = task.options.losses, task.options.objects
        self._stream, label = setting.schema.objects[self._objects].of, losses.object_class.label
        self._of = Classes(task.name, label, list(setting.schema.labels[label].classes))
        self._targets = list(losses.regression.targets) if losses.regression else []
        self._jets, self._origin = self._classes(JETS), self._classes(self._stream)
        origins = self._origin.names
        # One that no track has where pile-up is not a class.
        self._pileup = origins.index(PILEUP) if PILEUP in origins else len(origins)
        beyond = [row for row in display.jets if row >= file.num_jets]
        if beyond:
            raise InputError(
                f"`evaluation.display.jets` must be below {file.num_jets:,}, the number of jets of "
                f"{file.path}; got {beyond[0]}"
            )
        # Of the first discriminant for the classes of the jets.
        signals = [d.signal for d in setting.config.evaluation.discriminants.values()]
        signals = [signal for signal in signals if signal in self._jets.names]
        self._signal = signals[0] if signals and display.first else None
        needed = [self._objects, *([self._jets.label] if self._signal else [])]
        if display.first and not setting.has(*needed):
            raise InputError(
                f"`evaluation.display.first` chooses by the true vertices, and {file.path} has no "
                "truth; choose rows by `evaluation.display.jets`"
            )
        if is_wanted(setting.config):
            self._check_fields(file)
        self.events: list[Event] = []
        self._rows, self._missing = set(display.jets), display.first

    def _classes(self, of: str) -> Classes:
        for task in self._setting.tasks:
            if task.options.kind == "classification" and self._setting.place(task) == of:
                return Classes(task.name, task.options.label, self._setting.classes(task))
        return Classes()

    def _check_fields(self, file: JetFile) -> None:
        there = file.dtype(self._stream).names
        for option in NEEDED:
            name = getattr(self._fields, option)
            if name not in there:
                raise InputError(
                    f"{file.path}: {self._stream} have no field `{name}`, which an event display "
                    f"needs; name it by `evaluation.fields.{option}`"
                )

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets and keeps those that are to be drawn."""
        wanted = np.isin(chunk.records.rows, list(self._rows))
        if self._missing:
            masks = chunk.labels[self._objects].masks
            vertex = (masks.sum(axis=-1) >= MIN_VERTEX_TRACKS).any(axis=-1)
            if self._signal:
                _, label, classes = self._jets
                vertex &= chunk.labels[label] == classes.index(self._signal)
            first = np.flatnonzero(vertex)[: self._missing]
            self._missing -= len(first)
            wanted[first] = True
        self.events += [self.read(chunk, int(n)) for n in np.flatnonzero(wanted)]

    def drawn(self, label: str) -> Events:
        """All that are to be drawn, of a model with this label."""
        return Events(units(self._fields), label, self.events)

    def read(self, chunk: Chunk, index: int) -> Event:
        """The jet at a position of a chunk.

        Args:
            chunk: with or without truth.
            index: position of the jet in the chunk.
        """
        records = select(chunk.records, np.array([index]))
        fields, jet = self._fields, records.jets[0]
        table, _ = records.streams[self._stream].kept()
        d0, deta, dphi = (table[getattr(fields, name)].astype(np.float64) for name in NEEDED)
        eta = optional(jet, fields.jet_eta)
        # 1/MeV -> 1/GeV, and from the momentum to its transverse part.
        q_over_pt = optional(table, fields.track_q_over_p) * MEV_PER_GEV * np.cosh(eta + deta)
        curvature = (
            GEV_PER_TESLA_MM * self._setting.config.evaluation.display.magnetic_field * q_over_pt
        )
        with np.errstate(divide="ignore"):
            track_pt = 1 / np.abs(q_over_pt)
        return Event(
            int(records.rows[0]),
            float(optional(jet, fields.jet_pt)) / MEV_PER_GEV,
            float(eta),
            Trajectories(d0, dphi, np.where(np.isfinite(curvature), curvature, 0.0)),
            np.stack([deta, dphi], axis=-1),
            np.broadcast_to(track_pt, d0.shape),
            self._truth(chunk, index, records, len(d0)),
            self._prediction(chunk, index, len(d0)),
        )

    def _truth(self, chunk: Chunk, index: int, records: Records, number: int) -> View | None:
        if self._objects not in chunk.labels or self._of.label not in chunk.labels:
            return None
        valid, masks = (x[index] for x in chunk.labels[self._objects])
        kinds = chunk.labels[self._of.label][index]
        found = {int(slot): {self._of.names[kinds[slot]]: 1.0} for slot in np.flatnonzero(valid)}
        table, jet = records.objects[self._objects][0], records.jets[0]
        decays = {slot: _decay(table[slot], jet, self._fields) for slot in found}
        slots = np.where(masks.any(axis=0), masks.argmax(axis=0), -1)[:number]
        flavour, origin = {}, np.full(number, -1)
        if self._jets.label in chunk.labels:
            label = int(chunk.labels[self._jets.label][index])
            flavour = {self._jets.names[label]: 1.0} if label >= 0 else {}
        if self._origin.label in chunk.labels:
            origin = chunk.labels[self._origin.label][index, :number]
        hadrons = self._hadrons(found, chunk.true, index, slots, decays)
        return View(flavour, hadrons, slots, origin == self._pileup)

    def _prediction(self, chunk: Chunk, index: int, number: int) -> View:
        given, kinds = chunk.predictions[self._of.task], [*self._of.names, NONE]
        slots = given["mask_index"][index, :number]
        found = {
            slot: dict(zip(kinds, prob.tolist(), strict=True))
            for slot, prob in enumerate(given["class_prob"][index])
            if np.argmax(prob) < len(kinds) - 1
        }
        flavour, origin = {}, np.full(number, -1)
        if self._jets.task:
            prob = np.exp(chunk.predictions[self._jets.task]["log_prob"][index])
            flavour = dict(zip(self._jets.names, prob.tolist(), strict=True))
        if self._origin.task:
            origin = chunk.predictions[self._origin.task]["log_prob"][index, :number].argmax(
                axis=-1
            )
        hadrons = self._hadrons(found, chunk.predicted, index, slots, {})
        return View(flavour, hadrons, slots, origin == self._pileup)

    def _hadrons(
        self,
        found: Mapping[int, dict[str, float]],
        properties: Mapping[str, np.ndarray],
        index: int,
        slots: np.ndarray,
        decays: Mapping[int, tuple[float, float] | None],
    ) -> list[Hadron]:
        """Objects by their slots, with what is known of them."""
        fields, values, hadrons = self._fields, {}, []
        label = f"{self._of.task}.regression"
        for slot, class_prob in found.items():
            if label in properties:
                row = properties[label][index, slot].tolist()
                values = dict(zip(self._targets, row, strict=True))
            position, tracks = decays.get(slot), int(np.count_nonzero(slots == slot))
            options = fields.hadron_length, fields.hadron_deta, fields.hadron_dphi
            length, deta, dphi = map(values.get, options)
            if position is None and length is not None and math.isfinite(length):
                # Without its angle the best guess is that the hadron flies along the jet.
                angle = dphi or 0.0
                position = (length * math.cos(angle), length * math.sin(angle))
            direction = None if deta is None or dphi is None else (deta, dphi)
            kind = int(np.argmax([class_prob.get(name, 0.0) for name in self._of.names]))
            hadrons.append(Hadron(slot, kind, class_prob, values, position, direction, tracks))
        return hadrons


def _decay(hadron: np.void, jet: np.void, fields: FieldsConfig) -> tuple[float, float] | None:
    """Where a true hadron decayed with respect to the jet axis, if the file has the position."""
    x, y = (float(optional(hadron, name)) for name in (fields.hadron_x, fields.hadron_y))
    phi = float(optional(jet, fields.jet_phi))
    if not math.isfinite(x + y + phi):
        return None
    cos, sin = math.cos(phi), math.sin(phi)
    return (x * cos + y * sin, y * cos - x * sin)
