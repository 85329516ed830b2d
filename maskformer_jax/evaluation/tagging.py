"""Classification of jets: rejections at working points, and curves of discriminants."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.binned_efficiency import JET_AXES, jet_edges, of_jets
from maskformer_jax.evaluation.config import DiscriminantConfig
from maskformer_jax.evaluation.discriminants import (
    discriminant,
    threshold,
    with_first,
)
from maskformer_jax.evaluation.names import fraction_symbols, in_words, short, spoken
from maskformer_jax.evaluation.quantities import (
    against_constant,
    count,
    number,
    percent,
    rejection,
)
from maskformer_jax.evaluation.results import Confusion, Curve, Part, Quantity, Table, table_of
from maskformer_jax.evaluation.section import Chunk, Setting
from maskformer_jax.evaluation.tagging_curves import (
    Scored,
    quantile_edges,
    scan_curves,
    tagger_curves,
)
from maskformer_jax.tasks.confusion import accuracy, fraction
from maskformer_jax.tasks.task import Task

BASELINE = "baseline"
ALL, UNLABELLED = "all", "unlabelled"
# Columns: jets of a class, those whose likeliest class is theirs; efficiency and cut of a point.
JETS, RIGHT, OBTAINED, CUT = "jets", "accuracy", "obtained", "cut"

ByClass = dict[str, np.ndarray]


class Jets(NamedTuple):
    """The jets that have a class.

    Attributes:
        index: of the class.
        pt: GeV.
        eta: its absolute value.
        log_prob: of the classes.
        baseline: its score; zero where there is none.
    """

    index: Int[np.ndarray, " N"]
    pt: Float[np.ndarray, " N"]
    eta: Float[np.ndarray, " N"]
    log_prob: Float[np.ndarray, "N C"]
    baseline: Float[np.ndarray, " N"]


def fitting(setting: Setting, classes: list[str]) -> dict[str, DiscriminantConfig]:
    """The discriminants all of whose classes are among these."""
    return {
        name: options
        for name, options in setting.config.evaluation.discriminants.items()
        if {options.signal, *options.backgrounds} <= set(classes)
    }


class TaggingSection:
    """Classes of the labelled jets, discriminants and cuts on them; 26 bytes a jet of 3 classes."""

    def __init__(self, setting: Setting, task: Task):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a classification of jets.
        """
        self._config, self._task = setting.config, task.name
        self._label = task.options.label
        self._classes = setting.classes(task)
        self._discriminants = fitting(setting, self._classes)
        own = setting.baseline is not None and setting.baseline.config.label == self._label
        self._baseline = setting.baseline if own else None
        self._confusion = np.zeros((len(self._classes),) * 2, np.int64)
        self._unlabelled = 0
        self._chunks: list[Jets] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._confusion += np.asarray(chunk.counts[self._task]["confusion"], np.int64)
        index = np.asarray(chunk.labels[self._label])
        score = np.zeros(len(index))
        if self._baseline is not None:
            stream = self._config.data.streams[self._baseline.config.stream]
            score = self._baseline.score(chunk.records, stream.valid)
        jets = Jets(
            index=index.astype(np.int16),
            **{x: of_jets(chunk, self._config, x).astype(np.float32) for x in JET_AXES},
            log_prob=chunk.predictions[self._task]["log_prob"].astype(np.float32),
            baseline=score.astype(np.float32),
        )
        self._unlabelled += int(np.count_nonzero(index < 0))
        self._chunks.append(Jets(*(column[index >= 0] for column in jets)))

    def part(self) -> Part:
        """Jets of each class, rejections of each discriminant at its working points, curves.

        There are no curves of a discriminant unless there are jets of all its classes.
        """
        columns = zip(*self._chunks, strict=True)
        jets = Jets(*(np.concatenate(column) for column in columns))
        tables, curves, baseline = [self._numbers(jets)], [], []
        for name, options in self._discriminants.items():
            scores = self._scores(jets, options)
            tables.append(_rejections(name, options, scores))
            if not all(map(len, scores[self._config.name].values())):
                continue
            axes = {axis: self._by_class(jets, options, getattr(jets, axis)) for axis in JET_AXES}
            edges = jet_edges(self._config)
            network = Scored(name, options, scores[self._config.name], axes)
            curves += [*tagger_curves(network, edges), *self._scan(jets, name, options)]
            if BASELINE in scores:
                other = scores[BASELINE]
                scored = Scored(name, options, other, axes, quantile_edges(other))
                baseline += tagger_curves(scored, edges)
        title = f"{self._label.replace('_', ' ')} of the jets"
        counts = self._confusion.tolist()
        confusion = Confusion(f"{self._task}_confusion", title, self._classes, counts)
        return Part(tables, [confusion], curves, baseline)

    def _numbers(self, jets: Jets) -> Table:
        """Numbers of jets, and the fraction of them whose likeliest class is their own."""
        numbers = np.bincount(jets.index, minlength=len(self._classes))
        cells = {
            name: {
                JETS: count(numbers[i]),
                RIGHT: percent(fraction(int(self._confusion[i, i]), int(self._confusion[i].sum()))),
            }
            for i, name in enumerate(self._classes)
        }
        largest = 100 * numbers.max() / max(numbers.sum(), 1)
        right = against_constant(percent(accuracy(self._confusion)), largest)
        cells[ALL] = {JETS: count(numbers.sum()), RIGHT: right}
        cells[UNLABELLED] = {JETS: count(self._unlabelled)}
        words = self._label.replace("_", " ")
        title = f"Jets by {words}, and those whose likeliest class is theirs"
        columns = {JETS: "number", **in_words(RIGHT)}
        rows = {name: f"{spoken(name)} jets" for name in cells}
        return table_of(self._label, title, rows, columns, cells, corner=words)

    def _by_class(self, jets: Jets, options: DiscriminantConfig, values: np.ndarray) -> ByClass:
        """Values of the jets of the signal and of each background, the one scanned last."""
        names = [options.signal, *list(options.backgrounds)[::-1]]
        return {name: values[jets.index == self._classes.index(name)] for name in names}

    def _discriminant(
        self, jets: Jets, options: DiscriminantConfig, fractions: Mapping[str, float]
    ) -> ByClass:
        columns = {self._classes.index(name): f for name, f in fractions.items()}
        signal = self._classes.index(options.signal)
        return self._by_class(jets, options, discriminant(jets.log_prob, signal, columns))

    def _scores(self, jets: Jets, options: DiscriminantConfig) -> dict[str, ByClass]:
        """Scores of each tagger, the network first; the baseline knows one signal only."""
        scores = {self._config.name: self._discriminant(jets, options, options.backgrounds)}
        if self._baseline is not None and self._baseline.config.signal == options.signal:
            scores[BASELINE] = self._by_class(jets, options, jets.baseline)
        return scores

    def _scan(self, jets: Jets, name: str, options: DiscriminantConfig) -> list[Curve]:
        if len(options.backgrounds) == 1:
            return []

        def score(value: float) -> ByClass:
            return self._discriminant(jets, options, with_first(options.backgrounds, value))

        return scan_curves(name, options, score)


def _rejections(name: str, options: DiscriminantConfig, scores: Mapping[str, ByClass]) -> Table:
    """Efficiency, cut and rejections of each tagger; only the network is compared."""
    signal = short(options.signal)
    network, *others = scores
    has_signal = len(scores[network][options.signal]) > 0
    rows = {f"{t:g}": f"{100 * t:g} %" for t in options.working_points if has_signal}
    columns = in_words(OBTAINED, CUT)
    cells: dict[str, dict[str, Quantity | None]] = {row: {} for row in rows}
    for background in list(options.backgrounds)[::-1]:
        columns[background] = f"{spoken(background)} rejection"
        for other in others:
            columns[f"{background}_{other}"] = f"{spoken(background)} rejection ({other})"
    for tagger, by_class in scores.items():
        ending, better = ("", "high") if tagger == network else (f"_{tagger}", "")
        own = by_class[options.signal]
        for row in rows:
            cut = threshold(own, float(row))
            if tagger == network:
                cells[row][OBTAINED] = number(100 * np.mean(own >= cut), unit="%")
                cells[row][CUT] = number(cut)
            for background in options.backgrounds:
                score = by_class[background]
                passed = int(np.count_nonzero(score >= cut))
                cells[row][f"{background}{ending}"] = rejection(passed, len(score), better)
    fractions = ", ".join(fraction_symbols(options.backgrounds))
    return table_of(
        f"{name}_tagging",
        f"{name}-tagging, D_{name} with {fractions}: rejection at fixed {signal} efficiency",
        rows,
        columns,
        cells,
        corner=f"{signal} efficiency",
        notes=() if rows else (f"There are no {signal} jets in this file.",),
        is_ratio=True,
    )
