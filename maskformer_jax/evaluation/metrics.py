"""Everything that is measured on a test file, section by section."""

from typing import Any

import numpy as np

from maskformer_jax.config import Config
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.discriminants import jets_name
from maskformer_jax.evaluation.hadrons import HadronSection
from maskformer_jax.evaluation.regression import RegressionSection
from maskformer_jax.evaluation.section import Chunk, Section
from maskformer_jax.evaluation.tagging import TaggingSection
from maskformer_jax.evaluation.track_origin import TrackOriginSection
from maskformer_jax.evaluation.vertexing import VertexingSection


class Tally:
    """The sections of the evaluation, which see the test file together."""

    def __init__(self, config: Config, baseline: Baseline | None):
        """Starts empty.

        Args:
            config: of the run, with the options of the evaluation.
            baseline: tagger to compare with; none: the network alone.

        Raises:
            InputError: the classes of the config do not name b, c and light jets.
        """
        self._sections: dict[str, Section] = {
            "jets": JetSection(config),
            "tagging": TaggingSection(config, baseline),
            "vertexing": VertexingSection(config),
            "track_origin": TrackOriginSection(config),
            "hadrons": HadronSection(config),
            "regression": RegressionSection(config),
        }

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        for section in self._sections.values():
            section.add(chunk)

    def results(self) -> dict[str, Any]:
        """Metrics of each section, in the order of the report."""
        return {name: section.metrics() for name, section in self._sections.items()}

    def curves(self) -> dict[str, Any]:
        """Curves of the sections that have some."""
        curves = {name: section.curves() for name, section in self._sections.items()}
        return {name: curve for name, curve in curves.items() if curve}


class JetSection:
    """Numbers of jets."""

    def __init__(self, config: Config):
        """Starts empty."""
        self._classes = list(map(jets_name, config.data.jets.classes))
        self._counts = np.zeros(len(self._classes) + 1, np.int64)

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        labels = np.asarray(chunk.targets.jet_class_index, np.int64)
        self._counts += np.bincount(labels + 1, minlength=len(self._counts))

    def metrics(self) -> dict[str, Any]:
        """Jets of the file, of each class, and without a label."""
        unlabelled, *counts = self._counts.tolist()
        return {
            "total": int(self._counts.sum()),
            "unlabelled": unlabelled,
            "classes": dict(zip(self._classes, counts, strict=True)),
        }

    def curves(self) -> dict[str, Any]:
        """None."""
        return {}
