"""Everything that is measured on a test file, added up batch by batch."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from maskformer_jax.config import Config
from maskformer_jax.data import Records
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.classification import (
    Confusions,
    accuracy,
    object_metrics,
)
from maskformer_jax.evaluation.discriminants import (
    b_discriminant,
    flavour_indices,
    working_point,
)
from maskformer_jax.evaluation.predict import Predictions
from maskformer_jax.evaluation.regression import definitions, residuals, spread
from maskformer_jax.evaluation.vertexing import (
    VertexCounts,
    count_vertices,
    mask_to_index,
    vertex_metrics,
)
from maskformer_jax.types import Targets

# An object is a hadron for the regression when this is more than its probability of being none.
NONE_PROB_CUT = 0.5


class Scores(NamedTuple):
    """What the cuts and curves of b-tagging need of each labelled jet.

    Attributes:
        jet_class_index: class of the jet.
        taggers: discriminant of each tagger, the network first.
    """

    jet_class_index: Int[np.ndarray, " N"]
    taggers: dict[str, Float[np.ndarray, " N"]]


class Tally:
    """Counts and residuals of the jets that were added.

    Confusion matrices have a fixed size; a jet adds about 50 bytes of scores, vertex counts and
    residuals, since quantiles need them all.
    """

    def __init__(self, config: Config, baseline: Baseline | None):
        """Starts empty.

        Args:
            config: of the run, with the options of the evaluation.
            baseline: tagger to compare with; none: the network alone.

        Raises:
            InputError: the classes of the config do not name b, c and light jets.
        """
        self._config = config
        self._baseline = baseline
        self._flavours = flavour_indices(config.data.jets.classes)
        hadrons = config.data.hadrons
        self._definitions = definitions(hadrons.targets, hadrons.transforms)
        self._confusions = Confusions(0, 0, 0)
        self._per_jet: list[tuple[np.ndarray, ...]] = []
        self._residuals: list[list[np.ndarray]] = []

    def add(
        self,
        records: Records,
        targets: Targets,
        predictions: Predictions,
        regression: tuple[Float[np.ndarray, "N M R"], Float[np.ndarray, "N M R"]],
    ) -> None:
        """Takes in n jets.

        Args:
            records: rows of the test file.
            targets: of the same jets, on the host.
            predictions: likewise.
            regression: predicted and true hadron properties in the units of the file.
        """
        counts = [np.asarray(c, np.int64) for c in predictions.confusions]
        self._confusions = Confusions(
            *(a + b for a, b in zip(self._confusions, counts, strict=True))
        )
        scores = [
            b_discriminant(
                predictions.jet_log_prob, self._flavours, self._config.evaluation.charm_fraction
            )
        ]
        if self._baseline is not None:
            scores.append(self._baseline.score(records, self._config.data.tracks.valid))
        vertices = count_vertices(predictions.mask_index, mask_to_index(targets.masks))
        self._per_jet.append(
            (
                targets.jet_class_index.astype(np.int8),
                *(count.astype(np.int8) for count in vertices),
                *(score.astype(np.float32) for score in scores),
            )
        )
        found = targets.object_valid & (predictions.object_prob[..., -1] < NONE_PROB_CUT)
        columns = residuals(*regression, found, self._definitions)
        self._residuals.append([column.astype(np.float32) for column in columns])

    def scores(self) -> Scores:
        """Discriminants of the labelled jets."""
        label, _, _, _, *scores = self._columns()
        names = [self._config.name, *(["baseline"] if self._baseline else [])]
        kept = label >= 0
        return Scores(label[kept], {name: s[kept] for name, s in zip(names, scores, strict=True)})

    def results(self) -> dict[str, Any]:
        """All metrics: nested dictionaries of NamedTuples, in the order of the report."""
        data = self._config.data
        label, matched, true, predicted, *_ = self._columns()
        scores = self.scores()
        counts = {name: int(np.sum(label == i)) for i, name in enumerate(data.jets.classes)}
        no_signal = not np.any(label == self._flavours.signal)
        points = [] if no_signal else self._config.evaluation.working_points
        confusions = self._confusions
        columns = zip(*self._residuals, strict=True)
        return {
            "jets": {
                "total": len(label),
                "unlabelled": int(np.sum(label < 0)),
                "classes": counts,
            },
            "charm_fraction": self._config.evaluation.charm_fraction,
            "rejection": {
                tagger: {
                    f"{target:g}": working_point(
                        score, scores.jet_class_index, self._flavours, target
                    )
                    for target in points
                }
                for tagger, score in scores.taggers.items()
            },
            "flavour": {
                "accuracy": accuracy(confusions.flavour),
                "confusion": confusions.flavour,
            },
            "track_origin": {
                "accuracy": accuracy(confusions.track_origin),
                "confusion": confusions.track_origin,
            },
            "vertexing": vertex_metrics(
                VertexCounts(matched, true, predicted), label, data.jets.classes
            ),
            "objects": {
                **object_metrics(confusions.objects)._asdict(),
                "confusion": confusions.objects,
            },
            "regression": {
                name: {"relative": definition.relative, **spread(np.concatenate(column))._asdict()}
                for name, definition, column in zip(
                    data.hadrons.targets, self._definitions, columns, strict=True
                )
            },
        }

    def _columns(self) -> list[np.ndarray]:
        return [np.concatenate(column) for column in zip(*self._per_jet, strict=True)]
