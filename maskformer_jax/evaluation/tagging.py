"""Flavour tagging: rejections at working points, ROC curves and discriminants."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.classification import accuracy
from maskformer_jax.evaluation.discriminants import (
    b_discriminant,
    flavour_indices,
    rejection,
    threshold,
    working_point,
)
from maskformer_jax.evaluation.section import Chunk, Curve

ROC_EFFICIENCIES = np.linspace(0.49, 1.0, 103)
HISTOGRAM_BINS = 50
# Quantiles of the discriminant that the histogram covers; the rest is in its first and last bin.
HISTOGRAM_RANGE = (0.002, 0.998)


class TaggingSection:
    """Discriminants of the labelled jets, and cuts on them."""

    def __init__(self, config: Config, baseline: Baseline | None):
        """Starts empty.

        Args:
            config: of the run.
            baseline: tagger to compare with; none: the network alone.

        Raises:
            InputError: the classes of the config do not name b, c and light jets.
        """
        self._flavours = flavour_indices(config.data.jets.classes)
        self._options = config.evaluation
        self._valid_field = config.data.tracks.valid
        self._baseline = baseline
        self._taggers = [config.name, *(["baseline"] if baseline else [])]
        self._confusion = np.zeros((len(config.data.jets.classes),) * 2, np.int64)
        self._per_jet: list[tuple[np.ndarray, ...]] = []

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        log_prob = chunk.predictions.jet_log_prob
        scores = [b_discriminant(log_prob, self._flavours, self._options.charm_fraction)]
        if self._baseline is not None:
            scores.append(self._baseline.score(chunk.records, self._valid_field))
        labels = chunk.targets.jet_class_index
        kept = labels >= 0
        columns = (labels.astype(np.int8), *(score.astype(np.float32) for score in scores))
        self._per_jet.append(tuple(column[kept] for column in columns))
        self._confusion += np.asarray(chunk.predictions.confusions.flavour, np.int64)

    def metrics(self) -> dict[str, Any]:
        """Accuracy, and rejections at the working points."""
        points = {}
        for tagger, score in self._scores().items():
            signal = score.pop("bjets")
            targets = self._options.working_points if len(signal) else []
            points[tagger] = {f"{t:g}": working_point(signal, score, t) for t in targets}
        return {
            "accuracy": accuracy(self._confusion),
            "confusion": self._confusion,
            "b": {"fraction": self._options.charm_fraction, "points": points},
        }

    def curves(self) -> dict[str, Any]:
        """ROC curves and histograms of the discriminants; none unless there are all flavours."""
        scores = self._scores()
        if not all(len(jets) for score in scores.values() for jets in score.values()):
            return {}
        return {
            "roc": {"b": {tagger: _roc(score) for tagger, score in scores.items()}},
            "discriminant": {"b": {t: _histograms(score) for t, score in scores.items()}},
        }

    def _scores(self) -> dict[str, dict[str, np.ndarray]]:
        """Scores of each tagger, by flavour."""
        labels, *scores = map(np.concatenate, zip(*self._per_jet, strict=True))
        rows = {
            "ujets": labels == self._flavours.light,
            "cjets": labels == self._flavours.charm,
            "bjets": labels == self._flavours.bottom,
        }
        return {
            tagger: {name: score[row] for name, row in rows.items()}
            for tagger, score in zip(self._taggers, scores, strict=True)
        }


def roc_curve(signal: np.ndarray, background: np.ndarray, efficiencies: np.ndarray) -> Curve:
    """Background rejection at each signal efficiency; NaN where no background jet passes."""
    rejections = [rejection(background >= threshold(signal, e)) for e in efficiencies]
    values = [np.nan if r.is_limit else r.value for r in rejections]
    return Curve(efficiencies, np.array(values), np.array([r.error for r in rejections]))


def _roc(score: Mapping[str, np.ndarray]) -> dict[str, Curve]:
    names = ("ujets", "cjets")
    return {name: roc_curve(score["bjets"], score[name], ROC_EFFICIENCIES) for name in names}


def _histograms(score: Mapping[str, np.ndarray]) -> dict[str, Curve]:
    low, high = np.quantile(np.concatenate(list(score.values())), HISTOGRAM_RANGE)
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    counts = {
        name: np.histogram(np.clip(jets, low, high), edges)[0] for name, jets in score.items()
    }
    return {name: Curve(edges, count, np.sqrt(count)) for name, count in counts.items()}
