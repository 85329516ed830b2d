"""Classification of jets: rejections at working points, and curves of discriminants."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.config import DiscriminantConfig
from maskformer_jax.evaluation.distributions import JET_AXES, jet_edges, of_jets
from maskformer_jax.evaluation.names import fraction_symbols, in_words, short, spoken
from maskformer_jax.evaluation.quantities import against_constant, count, number, percent, rejection
from maskformer_jax.evaluation.results import Confusion, Part, Quantity, Table, table_of
from maskformer_jax.evaluation.section import Chunk, Section, Setting
from maskformer_jax.evaluation.tagging_curves import (
    DISCRIMINANT_EDGES,
    discriminant,
    quantile_edges,
    scan_curves,
    tagger_curves,
    threshold,
)
from maskformer_jax.tasks.confusion import accuracy, fraction

BASELINE = "baseline"
ALL, UNLABELLED = "all", "unlabelled"
# Columns: jets of a class, those whose likeliest class is theirs; efficiency and cut of a point.
JETS, RIGHT, OBTAINED, CUT = "jets", "accuracy", "obtained", "cut"

ByClass = dict[str, np.ndarray]


class Jets(NamedTuple):
    """What is kept of N jets in B chunks.

    Attributes:
        index: of the class, -1 for none.
        pt: GeV.
        eta: its absolute value.
        log_prob: of the classes.
        baseline: its score; zero where there is none.
        confusion: true (row) and likeliest class of the jets of each chunk.
    """

    index: Int[np.ndarray, " N"]
    pt: Float[np.ndarray, " N"]
    eta: Float[np.ndarray, " N"]
    log_prob: Float[np.ndarray, "N C"]
    baseline: Float[np.ndarray, " N"]
    confusion: Int[np.ndarray, "B C C"]


def fitting(setting: Setting, classes: list[str]) -> dict[str, DiscriminantConfig]:
    """The discriminants all of whose classes are among these."""
    return {
        name: options
        for name, options in setting.config.evaluation.discriminants.items()
        if {options.signal, *options.backgrounds} <= set(classes)
    }


class TaggingSection(Section):
    """Classes of the labelled jets, discriminants and cuts on them; 26 bytes a jet of 3 classes."""

    @property
    def _baseline(self) -> Baseline | None:
        found = self.setting.baseline
        return found if found and found.config.label == self.task.options.label else None

    def keep(self, chunk: Chunk) -> Jets:
        """Scores of some jets."""
        config, given = self.setting.config, chunk.predictions[self.task.name]
        index = np.asarray(chunk.labels[self.task.options.label])
        score = np.zeros(len(index))
        if self._baseline is not None:
            stream = config.data.streams[self._baseline.config.stream]
            score = self._baseline.score(chunk.records, stream.valid)
        return Jets(
            index=index.astype(np.int16),
            **{axis: of_jets(chunk, config, axis).astype(np.float32) for axis in JET_AXES},
            log_prob=given["log_prob"].astype(np.float32),
            baseline=score.astype(np.float32),
            confusion=np.asarray(chunk.counts[self.task.name]["confusion"], np.int64)[None],
        )

    def part(self) -> Part:
        """Jets of each class, rejections of each discriminant at its working points, curves.

        There are no curves of a discriminant unless there are jets of all its classes.
        """
        jets, config, label = self.kept(), self.setting.config, self.task.options.label
        classes, words = self.setting.classes(self.task), label.replace("_", " ")
        confusion = jets.confusion.sum(axis=0)
        tables, curves, baseline = [_numbers(jets, confusion, label, classes)], [], []
        for name, options in fitting(self.setting, classes).items():
            # The signal, then the backgrounds, the one scanned last.
            order = [options.signal, *list(options.backgrounds)[::-1]]
            rows = {kind: jets.index == classes.index(kind) for kind in order}
            score = _discriminant(jets, options, classes, rows)
            scores = {config.name: score(options.backgrounds)}
            # The baseline knows one signal only.
            if self._baseline is not None and self._baseline.config.signal == options.signal:
                scores[BASELINE] = {kind: jets.baseline[own] for kind, own in rows.items()}
            tables.append(_rejections(name, options, scores))
            if not all(own.any() for own in rows.values()):
                continue
            axes = {x: {k: getattr(jets, x)[own] for k, own in rows.items()} for x in JET_AXES}
            more = axes, jet_edges(config)
            network, *others = scores.values()
            curves += tagger_curves(name, options, network, DISCRIMINANT_EDGES, *more)
            if len(options.backgrounds) > 1:
                curves += scan_curves(name, options, score)
            for other in others:
                baseline += tagger_curves(name, options, other, quantile_edges(other), *more)
        title, counts = f"{words} of the jets", confusion.tolist()
        matrix = Confusion(f"{self.task.name}_confusion", title, classes, counts)
        return Part(tables, [matrix], curves, baseline)


def _discriminant(
    jets: Jets, options: DiscriminantConfig, classes: list[str], rows: Mapping[str, np.ndarray]
) -> Callable[[Mapping[str, float]], ByClass]:
    """For the fractions of the backgrounds, the discriminant of the jets of every class."""

    def score(fractions: Mapping[str, float]) -> ByClass:
        columns = {classes.index(name): f for name, f in fractions.items()}
        values = discriminant(jets.log_prob, classes.index(options.signal), columns)
        return {kind: values[own] for kind, own in rows.items()}

    return score


def _numbers(
    jets: Jets, confusion: Int[np.ndarray, "C C"], label: str, classes: list[str]
) -> Table:
    """Numbers of jets, and the fraction of them whose likeliest class is their own."""
    numbers = np.bincount(jets.index[jets.index >= 0], minlength=len(classes))
    cells = {
        name: {
            JETS: count(numbers[i]),
            RIGHT: percent(fraction(int(confusion[i, i]), int(confusion[i].sum()))),
        }
        for i, name in enumerate(classes)
    }
    largest = 100 * numbers.max() / max(numbers.sum(), 1)
    right = against_constant(percent(accuracy(confusion)), largest)
    cells[ALL] = {JETS: count(numbers.sum()), RIGHT: right}
    cells[UNLABELLED] = {JETS: count(np.count_nonzero(jets.index < 0))}
    words = label.replace("_", " ")
    title = f"Jets by {words}, and those whose likeliest class is theirs"
    columns = {JETS: "number", **in_words(RIGHT)}
    rows = {name: f"{spoken(name)} jets" for name in cells}
    return table_of(label, title, rows, columns, cells, corner=words)


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
