"""Classification of jets: rejections at working points, ROC curves and discriminants."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.evaluation.binned_efficiency import jet_pt
from maskformer_jax.evaluation.config import DiscriminantConfig
from maskformer_jax.evaluation.discriminants import (
    discriminant,
    threshold,
    with_first,
    working_point,
)
from maskformer_jax.evaluation.section import Chunk, Curve, Setting
from maskformer_jax.evaluation.tagging_curves import (
    DISCRIMINANT_EDGES,
    against_pt,
    fraction_scan,
    histograms,
    inverse,
    roc_curve,
    roc_efficiencies,
)
from maskformer_jax.tasks.confusion import accuracy
from maskformer_jax.tasks.task import Task

SCAN_POINTS = 40
BASELINE = "baseline"


class Jets(NamedTuple):
    """The jets that have a class.

    Attributes:
        index: of the class.
        pt: GeV.
        log_prob: of the classes.
        baseline: its score; zero where there is none.
    """

    index: Int[np.ndarray, " N"]
    pt: Float[np.ndarray, " N"]
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
    """Classes of the labelled jets, discriminants and cuts on them; 21 bytes a jet of 3 classes."""

    def __init__(self, setting: Setting, task: Task):
        """Starts empty.

        Args:
            setting: of the test file.
            task: a classification of jets.
        """
        self._config, self._task = setting.config, task.name
        self._label = setting.schema.labels[task.options.label]
        self._classes = setting.classes(task)
        self._discriminants = fitting(setting, self._classes)
        own = setting.baseline is not None and setting.baseline.config.label == task.options.label
        self._baseline = setting.baseline if own else None
        self._name = task.options.label
        self._confusion = np.zeros((len(self._classes),) * 2, np.int64)
        self._unlabelled = 0
        self._chunks: list[Jets] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._confusion += np.asarray(chunk.counts[self._task]["confusion"], np.int64)
        index = np.asarray(chunk.labels[self._name])
        score = np.zeros(len(index))
        if self._baseline is not None:
            stream = self._config.data.streams[self._baseline.config.stream]
            score = self._baseline.score(chunk.records, stream.valid)
        jets = Jets(
            index=index.astype(np.int16),
            pt=jet_pt(chunk, self._config).astype(np.float32),
            log_prob=chunk.predictions[self._task]["log_prob"].astype(np.float32),
            baseline=score.astype(np.float32),
        )
        self._unlabelled += int(np.count_nonzero(index < 0))
        self._chunks.append(Jets(*(column[index >= 0] for column in jets)))

    def metrics(self) -> dict[str, Any]:
        """Numbers of jets, accuracy, and rejections at the working points of each discriminant."""
        numbers = np.bincount(self._jets.index, minlength=len(self._classes)).tolist()
        return {
            "label": self._name,
            "jets": {
                "unlabelled": self._unlabelled,
                "classes": dict(zip(self._classes, numbers, strict=True)),
            },
            "accuracy": accuracy(self._confusion),
            "confusion": self._confusion,
            "discriminants": {
                name: self._points(options) for name, options in self._discriminants.items()
            },
        }

    def curves(self) -> dict[str, Any]:
        """`roc`, `discriminant`, `against_pt` of each tagger, and the `fraction_scan`.

        By discriminant; none of a discriminant unless there are jets of all its classes.
        """
        kinds = {
            "roc": self._roc,
            "discriminant": self._histograms,
            "against_pt": self._against_pt,
        }
        curves: dict[str, Any] = {}
        for name, options in self._discriminants.items():
            scores = self._scores(options)
            if not all(map(len, self._by_class(options, scores[self._config.name]).values())):
                continue
            for kind, curve in kinds.items():
                found = {tagger: curve(options, score) for tagger, score in scores.items()}
                curves.setdefault(kind, {})[name] = found
            if len(options.backgrounds) > 1:
                scan = {self._config.name: self._scan(options)}
                curves.setdefault("fraction_scan", {})[name] = scan
        return curves

    @property
    def _jets(self) -> Jets:
        if len(self._chunks) > 1:
            columns = zip(*self._chunks, strict=True)
            self._chunks = [Jets(*(np.concatenate(column) for column in columns))]
        return self._chunks[0]

    def _by_class(self, options: DiscriminantConfig, score: np.ndarray) -> dict[str, np.ndarray]:
        """The scores of the jets of the signal and of each background."""
        index = self._jets.index
        names = [options.signal, *options.backgrounds]
        return {name: score[index == self._classes.index(name)] for name in names}

    def _discriminant(self, options: DiscriminantConfig, fractions: dict) -> np.ndarray:
        columns = {self._classes.index(name): f for name, f in fractions.items()}
        signal = self._classes.index(options.signal)
        return discriminant(self._jets.log_prob, signal, columns)

    def _scores(self, options: DiscriminantConfig) -> dict[str, np.ndarray]:
        """Scores of each tagger, the network first; the baseline knows one signal only."""
        scores = {self._config.name: self._discriminant(options, options.backgrounds)}
        if self._baseline is not None and self._baseline.config.signal == options.signal:
            scores[BASELINE] = self._jets.baseline
        return scores

    def _points(self, options: DiscriminantConfig) -> dict[str, Any]:
        points = {}
        for tagger, score in self._scores(options).items():
            backgrounds = self._by_class(options, score)
            signal = backgrounds.pop(options.signal)
            targets = options.working_points if len(signal) else []
            points[tagger] = {f"{t:g}": working_point(signal, backgrounds, t) for t in targets}
        return {
            "signal": options.signal,
            "fractions": options.backgrounds,
            "fixed_efficiency": options.fixed_efficiency,
            "points": points,
        }

    def _roc(self, options: DiscriminantConfig, score: np.ndarray) -> dict[str, Curve]:
        backgrounds = self._by_class(options, score)
        signal = backgrounds.pop(options.signal)
        efficiencies = roc_efficiencies(options.working_points)
        return {
            name: roc_curve(signal, background, efficiencies)
            for name, background in backgrounds.items()
        }

    def _histograms(self, options: DiscriminantConfig, score: np.ndarray) -> dict[str, Curve]:
        edges = None if score is self._jets.baseline else DISCRIMINANT_EDGES
        return histograms(self._by_class(options, score), edges)

    def _against_pt(self, options: DiscriminantConfig, score: np.ndarray) -> dict[str, Curve]:
        jets, edges = self._jets, self._config.evaluation.pt_edges
        cut = threshold(self._by_class(options, score)[options.signal], options.fixed_efficiency)
        passing = against_pt(jets.pt, jets.index, score, cut, edges, len(self._classes))
        found = {n: passing[self._classes.index(n)] for n in self._by_class(options, score)}
        return {n: c if n == options.signal else inverse(c) for n, c in found.items()}

    def _scan(self, options: DiscriminantConfig) -> dict[str, Curve]:
        from puma.fraction_scan import get_fx_values

        def score(value: float) -> dict[str, np.ndarray]:
            fractions = with_first(options.backgrounds, value)
            return self._by_class(options, self._discriminant(options, fractions))

        own = next(iter(options.backgrounds.values()))
        values = np.union1d(get_fx_values(SCAN_POINTS), own)
        return fraction_scan(score, options.signal, values, options.fixed_efficiency)
