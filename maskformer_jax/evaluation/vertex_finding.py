"""How well vertices are found, from the masks of objects or from edges."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from maskformer_jax.evaluation.binned_efficiency import BinnedEfficiency, jet_pt
from maskformer_jax.evaluation.section import Chunk, Setting
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
LENGTH_EDGES = (0, 0.5, 1, 2, 3, 4, 6, 8, 12, 20, 40, 80, 160, 320)

KINDS = ("exclusive", "inclusive")

Lengths = tuple[np.ndarray, np.ndarray]


class Found(NamedTuple):
    """Vertices of N jets, before they are matched.

    Attributes:
        predicted: vertex of each track for each of `KINDS`, -1 for none.
        true: likewise.
        lengths: predicted and true, each the object of the tracks and the flight length of the
            objects [mm]; none: they are not known.
    """

    predicted: Mapping[str, Int[np.ndarray, "N L"]]
    true: Mapping[str, Int[np.ndarray, "N L"]]
    lengths: tuple[Lengths, Lengths] | None


class VertexMetrics(NamedTuple):
    """Vertex finding in jets of one flavour.

    Attributes:
        efficiency: true vertices that are matched.
        purity: predicted vertices that are matched.
        with_vertex: jets in which a vertex is predicted; the fake rate where there are no hadrons.
    """

    efficiency: Fraction
    purity: Fraction
    with_vertex: Fraction


class _Counts:
    """Sums of one kind of vertices, overall and in bins, by class of the jet."""

    def __init__(self, edges: Mapping[str, tuple[float, ...]], classes: int):
        names = VertexMetrics._fields
        # The last row is that of the jets without a class.
        self.totals = {name: np.zeros((classes + 1, 2), np.int64) for name in names}
        self.profiles = {
            name: {axis: BinnedEfficiency(values, classes) for axis, values in edges.items()}
            for name in names
        }
        # A jet without a vertex has no flight length.
        self.profiles["with_vertex"].pop("Lxy", None)

    def add(
        self,
        name: str,
        exists: Bool[np.ndarray, "B M"],
        passed: Bool[np.ndarray, "B M"],
        label: Int[np.ndarray, " B"],
        x: Mapping[str, Float[np.ndarray, "B M"]],
    ) -> None:
        """Takes in the trials that exist, of which some have passed, and where they lie."""
        group = np.broadcast_to(label[:, None], exists.shape)[exists]
        np.add.at(self.totals[name], (group, passed[exists].astype(int)), 1)
        for axis, profile in self.profiles[name].items():
            profile.add(np.broadcast_to(x[axis], exists.shape)[exists], group, passed[exists])


class VertexingSection:
    """Exclusive vertices, one for each hadron, and inclusive ones, one for each jet.

    The efficiency is shown against jet pT and the true flight length of the vertex, the
    purity against jet pT and the predicted flight length: a vertex that is wrong has no true one.
    """

    def __init__(self, setting: Setting, vertices: Callable[[Chunk], Found], has_lengths: bool):
        """Starts empty.

        Args:
            setting: of the test file.
            vertices: those of some jets.
            has_lengths: whether these have flight lengths.
        """
        self._config, self._vertices = setting.config, vertices
        self._jets = setting.jet_classes()
        edges = {"pt": tuple(setting.config.evaluation.pt_edges)}
        if has_lengths:
            edges["Lxy"] = LENGTH_EDGES
        self._counts = {kind: _Counts(edges, len(self._jets.names)) for kind in KINDS}

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        found = self._vertices(chunk)
        label, pt = self._jets.index(chunk), jet_pt(chunk, self._config)[:, None]
        predicted_lengths, true_lengths = found.lengths or (None, None)
        for kind, counts in self._counts.items():
            indices = found.predicted[kind], found.true[kind]
            number = 1 + max(int(index.max(initial=0)) for index in indices)
            predicted, true, matched = match_vertices(*indices, number)
            exists, x = true.any(-1), _against(pt, true, true_lengths)
            counts.add("efficiency", exists, matched.any(axis=1), label, x)
            exists, x = predicted.any(-1), _against(pt, predicted, predicted_lengths)
            counts.add("purity", exists, matched.any(axis=2), label, x)
            jets = np.ones((len(label), 1), bool)
            counts.add("with_vertex", jets, exists.any(1, keepdims=True), label, {"pt": pt})

    def metrics(self) -> dict[str, Any]:
        """`VertexMetrics` of each kind and class of jets, and of `all` with those of no class."""
        names = self._jets.names
        selections = {name: [row] for row, name in enumerate(names)}
        selections["all"] = list(range(len(names) + 1))
        return {
            kind: {
                name: VertexMetrics(
                    **{key: _sum(total[rows]) for key, total in counts.totals.items()}
                )
                for name, rows in selections.items()
            }
            for kind, counts in self._counts.items()
        }

    def curves(self) -> dict[str, Any]:
        """Profiles of each kind and class of jets, against `pt` [GeV] and `Lxy` [mm]."""
        return {
            kind: {
                name: {
                    key: {axis: profile.curve(row) for axis, profile in profiles.items()}
                    for key, profiles in counts.profiles.items()
                }
                for row, name in enumerate(self._jets.names)
            }
            for kind, counts in self._counts.items()
        }


def _sum(counts: Int[np.ndarray, "rows 2"]) -> Fraction:
    failed, passed = counts.sum(axis=0).tolist()
    return fraction(passed, failed + passed)


def _against(
    pt: np.ndarray, vertices: np.ndarray, lengths: Lengths | None
) -> dict[str, np.ndarray]:
    if lengths is None:
        return {"pt": pt}
    # A regression may fall a little below zero, where the first bin begins.
    return {"pt": pt, "Lxy": np.maximum(flight_length(vertices, *lengths), 0.0)}


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
        kinds = [dict(zip(KINDS, (x, merged(x)), strict=True)) for x in (predicted, true)]
        return Found(*kinds, lengths)

    return VertexingSection(setting, vertices, column is not None)


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
        kinds = zip((predicted, true), together, strict=True)
        return Found(*(dict(zip(KINDS, map(ranks, pair), strict=True)) for pair in kinds), None)

    return VertexingSection(setting, vertices, False)
