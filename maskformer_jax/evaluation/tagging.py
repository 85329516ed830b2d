"""Flavour tagging: rejections at working points, ROC curves and discriminants."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.config import Config, EvaluationConfig
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.binned_efficiency import jet_pt
from maskformer_jax.evaluation.classification import accuracy
from maskformer_jax.evaluation.discriminants import (
    FlavourIndices,
    b_discriminant,
    c_discriminant,
    flavour_indices,
    threshold,
    working_point,
)
from maskformer_jax.evaluation.section import Chunk, Curve
from maskformer_jax.evaluation.tagging_curves import (
    DISCRIMINANT_EDGES,
    against_pt,
    fraction_scan,
    histograms,
    inverse,
    roc_curve,
)

# In the results flavours have these names, whatever the classes of the file are called.
FLAVOURS = ("bjets", "cjets", "ujets")
COLUMNS = FlavourIndices(*range(len(FLAVOURS)))

SCAN_POINTS = 40


class Tag(NamedTuple):
    """What is asked of the tagging of one flavour.

    Attributes:
        signal: the flavour.
        discriminant: of logarithmic probabilities, columns and fraction.
        fraction: of the discriminant.
        working_points: signal efficiencies of the table.
        fixed_efficiency: at which the fraction and jet pT are varied.
        roc_efficiencies: of the ROC curve.
    """

    signal: str
    discriminant: Callable[[np.ndarray, FlavourIndices, float], np.ndarray]
    fraction: float
    working_points: list[float]
    fixed_efficiency: float
    roc_efficiencies: Float[np.ndarray, " X"]


def tags(options: EvaluationConfig) -> dict[str, Tag]:
    """b- and c-tagging as the options ask for them."""
    return {
        "b": Tag(
            "bjets",
            b_discriminant,
            options.charm_fraction,
            options.working_points,
            options.fixed_efficiency,
            np.linspace(0.49, 1.0, 103),
        ),
        "c": Tag(
            "cjets",
            c_discriminant,
            options.bottom_fraction,
            options.charm_working_points,
            options.fixed_charm_efficiency,
            np.linspace(0.1, 1.0, 91),
        ),
    }


class Jets(NamedTuple):
    """The jets of the three flavours.

    Attributes:
        flavour: index into `FLAVOURS`.
        pt: GeV.
        log_prob: of `FLAVOURS`.
        baseline: score of the baseline; of no jets where there is none.
    """

    flavour: Int[np.ndarray, " N"]
    pt: Float[np.ndarray, " N"]
    log_prob: Float[np.ndarray, "N 3"]
    baseline: Float[np.ndarray, " N"]

    def by_flavour(self, score: Float[np.ndarray, " N"]) -> dict[str, np.ndarray]:
        """The scores of the jets of each flavour."""
        return {name: score[self.flavour == i] for i, name in enumerate(FLAVOURS)}


class TaggingSection:
    """Discriminants of the labelled jets, and cuts on them; 21 bytes a jet."""

    def __init__(self, config: Config, baseline: Baseline | None):
        """Starts empty.

        Args:
            config: of the run.
            baseline: b-tagger to compare with; none: the network alone.

        Raises:
            InputError: the classes of the config do not name b, c and light jets.
        """
        self._config = config
        self._flavours = flavour_indices(config.data.jets.classes)
        self._tags = tags(config.evaluation)
        self._baseline = baseline
        self._confusion = np.zeros((len(config.data.jets.classes),) * 2, np.int64)
        self._chunks: list[Jets] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._confusion += np.asarray(chunk.predictions.confusions.flavour, np.int64)
        label = chunk.targets.jet_class_index[:, None] == np.array(self._flavours)
        score = np.zeros(len(label))
        if self._baseline is not None:
            score = self._baseline.score(chunk.records, self._config.data.tracks.valid)
        jets = Jets(
            flavour=label.argmax(axis=1).astype(np.int8),
            pt=jet_pt(chunk, self._config).astype(np.float32),
            log_prob=chunk.predictions.jet_log_prob[:, self._flavours].astype(np.float32),
            baseline=score.astype(np.float32),
        )
        self._chunks.append(Jets(*(column[label.any(axis=1)] for column in jets)))

    def metrics(self) -> dict[str, Any]:
        """Accuracy, and rejections at the working points, of b- and c-tagging."""
        return {
            "accuracy": accuracy(self._confusion),
            "confusion": self._confusion,
            **{name: self._points(name, tag) for name, tag in self._tags.items()},
        }

    def curves(self) -> dict[str, Any]:
        """Curves of each tagger and both kinds of tagging; none unless there are all flavours."""
        if not np.bincount(self._jets.flavour, minlength=len(FLAVOURS)).all():
            return {}
        kinds = {
            "roc": self._roc,
            "discriminant": self._histograms,
            "against_pt": self._against_pt,
        }
        curves: dict[str, Any] = {kind: {} for kind in (*kinds, "fraction_scan")}
        for name, tag in self._tags.items():
            scores = self._scores(name, tag)
            for kind, curve in kinds.items():
                curves[kind][name] = {t: curve(tag, score) for t, score in scores.items()}
            curves["fraction_scan"][name] = {self._config.name: self._scan(tag)}
        return curves

    @property
    def _jets(self) -> Jets:
        if len(self._chunks) > 1:
            columns = zip(*self._chunks, strict=True)
            self._chunks = [Jets(*(np.concatenate(column) for column in columns))]
        return self._chunks[0]

    def _scores(self, name: str, tag: Tag) -> dict[str, np.ndarray]:
        """Scores of each tagger, the network first; the baseline knows b jets only."""
        scores = {self._config.name: tag.discriminant(self._jets.log_prob, COLUMNS, tag.fraction)}
        if self._baseline is not None and name == "b":
            scores["baseline"] = self._jets.baseline
        return scores

    def _points(self, name: str, tag: Tag) -> dict[str, Any]:
        points = {}
        for tagger, score in self._scores(name, tag).items():
            backgrounds = self._jets.by_flavour(score)
            signal = backgrounds.pop(tag.signal)
            targets = tag.working_points if len(signal) else []
            points[tagger] = {f"{t:g}": working_point(signal, backgrounds, t) for t in targets}
        return {
            "fraction": tag.fraction,
            "fixed_efficiency": tag.fixed_efficiency,
            "points": points,
        }

    def _roc(self, tag: Tag, score: np.ndarray) -> dict[str, Curve]:
        backgrounds = self._jets.by_flavour(score)
        signal = backgrounds.pop(tag.signal)
        return {
            name: roc_curve(signal, background, tag.roc_efficiencies)
            for name, background in backgrounds.items()
        }

    def _histograms(self, tag: Tag, score: np.ndarray) -> dict[str, Curve]:
        edges = None if score is self._jets.baseline else DISCRIMINANT_EDGES
        return histograms(self._jets.by_flavour(score), edges)

    def _against_pt(self, tag: Tag, score: np.ndarray) -> dict[str, Curve]:
        cut = threshold(self._jets.by_flavour(score)[tag.signal], tag.fixed_efficiency)
        edges = self._config.evaluation.pt_edges
        passing = against_pt(self._jets.pt, self._jets.flavour, score, cut, edges, len(FLAVOURS))
        return {
            name: curve if name == tag.signal else inverse(curve)
            for name, curve in zip(FLAVOURS, passing, strict=True)
        }

    def _scan(self, tag: Tag) -> dict[str, Curve]:
        from puma.fraction_scan import get_fx_values

        jets = self._jets
        return fraction_scan(
            lambda f: jets.by_flavour(tag.discriminant(jets.log_prob, COLUMNS, f)),
            tag.signal,
            np.union1d(get_fx_values(SCAN_POINTS), tag.fraction),
            tag.fixed_efficiency,
        )
