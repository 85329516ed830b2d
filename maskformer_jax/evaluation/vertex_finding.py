"""How well vertices are found, from the masks of objects or from edges."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from maskformer_jax.evaluation.distributions import JET_AXES, binomial, in_bins, jet_edges, of_jets
from maskformer_jax.evaluation.names import WORDS, in_words, jets_in_formula, spoken
from maskformer_jax.evaluation.quantities import count, percent
from maskformer_jax.evaluation.results import Better, Curve, Part, Table, table_of
from maskformer_jax.evaluation.section import Chunk, Section, Setting
from maskformer_jax.evaluation.vertexing import (
    clean_predicted,
    clean_true,
    flight_length,
    mask_to_index,
    match_vertices,
    merged,
    ranks,
)
from maskformer_jax.tasks.confusion import Fraction, fraction
from maskformer_jax.tasks.task import Task

# Edges of the bins of flight length in mm: narrow for t-tbar, with room for hadrons of TeV.
LENGTH_EDGES = np.array([0, 0.5, 1, 2, 3, 4, 6, 8, 12, 20, 40, 80, 160, 320])

KINDS = EXCLUSIVE, INCLUSIVE = "exclusive", "inclusive"
TITLES = {
    EXCLUSIVE: "Vertices of single hadrons (exclusive), of at least two tracks",
    INCLUSIVE: "All vertices of a jet merged (inclusive), of at least two tracks",
}
# What is counted.
EFFICIENCY, PURITY, WITH_VERTEX = "efficiency", "purity", "with_vertex"
COUNTED = (EFFICIENCY, PURITY, WITH_VERTEX)
COLUMNS = in_words("true", EFFICIENCY, "predicted", PURITY, WITH_VERTEX)
AXES = {
    **{axis: dict.fromkeys(COUNTED, label) for axis, label in JET_AXES.items()},
    "Lxy": {EFFICIENCY: "True $L_{xy}$ [mm]", PURITY: "Predicted $L_{xy}$ [mm]"},
}
ALL = "all"
# A class of jets has vertices if one jet in so many has; in others a vertex is a fake.
JETS_PER_VERTEX = 10

Lengths = tuple[np.ndarray, np.ndarray]


class Found(NamedTuple):
    """Vertices of N jets, before they are matched.

    Attributes:
        pairs: for each of `KINDS` the predicted and the true vertex of each track, -1 for none.
        lengths: predicted and true, each the object of the tracks and the flight length of the
            objects [mm]; none: they are not known.
    """

    pairs: Mapping[str, tuple[Int[np.ndarray, "N L"], Int[np.ndarray, "N L"]]]
    lengths: tuple[Lengths, Lengths] | None


@dataclass
class VertexingSection(Section):
    """Exclusive vertices, one for each hadron, and inclusive ones, one for each jet.

    Both are shown against pT and |eta| of the jet, the efficiency against the true flight length of
    the vertex, the purity against the predicted one: a vertex that is wrong has no true one.

    Attributes:
        find: the vertices of some jets.
    """

    find: Callable[[Chunk], Found] | None = None

    @property
    def _names(self) -> list[str]:
        label = self.setting.jet_label()
        return list(self.setting.schema.labels[label].classes) if label else []

    def keep(self, chunk: Chunk) -> dict[tuple[str, str, str], Int[np.ndarray, "1 2 G X"]]:
        """Numbers by kind, by what is counted, and against what; the last group has no class."""
        found, groups = self.find(chunk), 1 + len(self._names)
        label = np.asarray(
            chunk.labels.get(self.setting.jet_label(), [-1] * len(chunk.records.jets))
        )
        label = np.where(label < 0, groups - 1, label)[:, None]
        edges = {"": (0, 1), **jet_edges(self.setting.config), "Lxy": LENGTH_EDGES}
        of_jet = {axis: of_jets(chunk, self.setting.config, axis)[:, None] for axis in JET_AXES}
        of_jet[""] = np.zeros_like(label)
        predicted_lengths, true_lengths = found.lengths or (None, None)
        counts = {}
        for kind, indices in found.pairs.items():
            number = 1 + max(int(index.max(initial=0)) for index in indices)
            predicted, true, matched = match_vertices(*indices, number)
            lengths = _lengths(true, true_lengths), _lengths(predicted, predicted_lengths)
            # Which trials there are, those that pass, and the lengths that they are shown against.
            trials = {
                EFFICIENCY: (true.any(-1), matched.any(axis=1), lengths[0]),
                PURITY: (predicted.any(-1), matched.any(axis=2), lengths[1]),
                WITH_VERTEX: (np.ones_like(label, bool), predicted.any((1, 2))[:, None], {}),
            }
            for key, (exists, passed, own) in trials.items():
                for axis, x in (of_jet | own).items():
                    x, group = (np.broadcast_to(v, exists.shape)[exists] for v in (x, label))
                    numbers = in_bins(edges[axis], x, passed[exists], group, groups)
                    counts[kind, key, axis] = numbers[None]
        return counts

    def part(self) -> Part:
        """A table of each kind, by class of jets; curves against pT, |eta| and flight length.

        Of classes without vertices there is the rate of fakes alone.
        """
        counts = {key: numbers.sum(axis=0) for key, numbers in self.kept().items()}
        names = self._names
        rows = {**{name: [row] for row, name in enumerate(names)}, ALL: range(len(names) + 1)}

        def total(kind: str, key: str, own: Sequence[int]) -> Fraction:
            return fraction(*counts[kind, key, ""][:, list(own)].sum(axis=(1, 2)).tolist())

        sums = {
            kind: {n: {key: total(kind, key, own) for key in COUNTED} for n, own in rows.items()}
            for kind in KINDS
        }
        fakes = _without_vertices(sums[INCLUSIVE])
        curves: list[Curve] = []
        for row, name in enumerate(names):
            number = sums[INCLUSIVE][name][WITH_VERTEX].total
            title = f"Vertices in {number:,} {jets_in_formula(name)}s"
            own = {key: numbers[:, row] for key, numbers in counts.items()}
            curves += self._curves(own, name, fakes, title)
        return Part([_table(kind, found, fakes) for kind, found in sums.items()], curves=curves)

    def _curves(
        self, counts: Mapping, name: str, fakes: Sequence[str], title: str
    ) -> Iterator[Curve]:
        """Profiles of one class of jets, those of both kinds beside each other."""
        of_name = f"_{name}" if len(fakes) > 1 else ""
        edges = {**jet_edges(self.setting.config), "Lxy": LENGTH_EDGES}
        for axis, labels in AXES.items():
            fake_rate = f"vertexing_fake_rate{of_name}" + (f"_{axis}" if axis != "pt" else "")
            for key in (WITH_VERTEX,) if name in fakes else (EFFICIENCY, PURITY):
                for kind in KINDS:
                    if (kind, key, axis) in counts:
                        yield Curve(
                            fake_rate if name in fakes else f"vertexing_{name}_{axis}",
                            *(f"{kind} {key}", "efficiency"),
                            binomial(edges[axis], *counts[kind, key, axis]),
                            title,
                            x_label=labels[key],
                            y_label=f"{kind} {WORDS[key]}",
                        )


def _without_vertices(sums: Mapping[str, Mapping[str, Fraction]]) -> list[str]:
    """The classes of jets whose vertices are fakes; `all` where there are no classes."""
    return [
        name
        for name, found in sums.items()
        if 0 < found[WITH_VERTEX].total >= JETS_PER_VERTEX * found[EFFICIENCY].total
        and (name != ALL or len(sums) == 1)
    ]


def _table(kind: str, sums: Mapping[str, Mapping[str, Fraction]], fakes: Sequence[str]) -> Table:
    """Models are compared by class of jets, or by all jets where there are no classes."""
    cells = {}
    for name, found in sums.items():
        is_judged = name not in fakes and (name != ALL or len(sums) == 1)
        better: Better = "high" if is_judged else ""
        cells[name] = {
            "true": count(found[EFFICIENCY].total),
            EFFICIENCY: percent(found[EFFICIENCY], better),
            "predicted": count(found[PURITY].total),
            PURITY: percent(found[PURITY], better),
            WITH_VERTEX: percent(found[WITH_VERTEX], "low" if name in fakes else ""),
        }
    rows = {name: f"{spoken(name)} jets" for name in sums}
    words = " or ".join(rows[name] for name in fakes)
    notes = [f"A vertex in {words} is a fake."] if fakes else []
    name, title = f"vertices_{kind}", TITLES[kind]
    return table_of(name, title, rows, COLUMNS, cells, corner="jets", notes=notes)


def _lengths(vertices: np.ndarray, lengths: Lengths | None) -> dict[str, np.ndarray]:
    if lengths is None:
        return {}
    # A regression may fall a little below zero, where the first bin begins.
    return {"Lxy": np.maximum(flight_length(vertices, *lengths), 0.0)}


def of_masks(setting: Setting, task: Task) -> VertexingSection | None:
    """Vertices of the masks of objects; none without masks or their truth.

    The inclusive vertex merges the tracks of all objects of the jet, those of a b hadron with those
    of the c hadron that it decays to; the predicted one merges those of all that are not `none`.
    """
    losses, objects = task.options.losses, task.options.objects
    has_masks = losses.mask_ce is not None or losses.mask_dice is not None
    if not has_masks or not setting.has(objects):
        return None
    targets = list(losses.regression.targets) if losses.regression else []
    label, length = f"{task.name}.regression", setting.config.evaluation.fields.hadron_length
    column = targets.index(length) if length in targets and setting.has(label) else None

    def vertices(chunk: Chunk) -> Found:
        predicted = chunk.predictions[task.name]["mask_index"]
        true, lengths = mask_to_index(chunk.labels[objects].masks), None
        if column is not None:
            properties = chunk.predicted[label][..., column], chunk.true[label][..., column]
            lengths = (predicted, properties[0]), (true, properties[1])
        together = merged(predicted), merged(true)
        return Found({EXCLUSIVE: (predicted, true), INCLUSIVE: together}, lengths)

    return VertexingSection(setting, task, find=vertices)


def of_edges(setting: Setting, task: Task) -> VertexingSection | None:
    """Vertices of edges, cleaned as puma does it; none without their truth.

    True vertices are cleaned if a task reads the label of the origins and the file has it,
    predicted ones if the model tells the origins. Merged are the vertices that are left; of the
    true ones those of an index above 0.
    """
    options, label = task.options, task.options.classes_label
    if not setting.has(options.label):
        return None
    classes = list(setting.schema.labels[label].classes) if label in setting.schema.labels else []
    # The last entry is that of padding and of what is in no class.
    heavy = np.array([name in options.heavy for name in classes] + [False])
    primary = np.array([name == options.primary for name in classes] + [False])
    classifiers = [
        other.name
        for other in setting.tasks
        if other.options.kind == "classification" and other.options.label == label
    ]

    def vertices(chunk: Chunk) -> Found:
        predicted = chunk.predictions[task.name]["vertex_index"]
        true = np.asarray(chunk.labels[options.label])
        if classifiers:
            origin = chunk.predictions[classifiers[0]]["log_prob"].argmax(axis=-1)
            origin = np.where(predicted >= 0, origin, -1)
            predicted = clean_predicted(predicted, primary[origin], heavy[origin])
        if setting.has(label):
            true = clean_true(true, heavy[chunk.labels[label]])
        together = merged(predicted), np.where(true > 0, 1, true)
        pairs = {EXCLUSIVE: (predicted, true), INCLUSIVE: together}
        return Found({kind: tuple(map(ranks, pair)) for kind, pair in pairs.items()}, None)

    return VertexingSection(setting, task, find=vertices)
