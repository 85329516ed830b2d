import numpy as np
import pytest

from maskformer_jax.evaluation.plots import draw_plots
from maskformer_jax.evaluation.results import read_results, write_results
from maskformer_jax.evaluation.tagging import TaggingSection, roc_curve


def test_roc_curve_by_hand():
    signal, background = np.arange(10.0), np.array([0.0, 1.0, 4.0, 8.5])
    # The cuts are 9, 5 and 0: no, one and all four background jets pass.
    curve = roc_curve(signal, background, np.array([0.1, 0.5, 1.0]))
    assert np.isnan(curve.value[0]) and curve.value[1:].tolist() == [4.0, 1.0]
    # r sqrt((1 - e)/(e N)) = 4 sqrt(0.75/1)
    assert np.isnan(curve.error[0]) and curve.error[1:] == pytest.approx([12**0.5, 0])


@pytest.fixture
def tagging(config):
    """A tagging section with 900 jets of normal scores of two taggers."""
    section = TaggingSection(config, baseline=None)
    generator = np.random.default_rng(0)
    flavour = np.repeat([0, 1, 2], 300).astype(np.int8)
    shift = np.array([3.0, 1.0, 0.0])[flavour]
    scores = [generator.normal(size=900) + scale * shift for scale in (1.0, 0.5)]
    section._taggers = ["Tagger", "baseline"]
    section._per_jet = [(flavour, *(score.astype(np.float32) for score in scores))]
    return section


def results_of(section, folder, label="run"):
    jets = {"total": 900, "unlabelled": 0, "classes": dict.fromkeys(("bjets", "cjets"), 300)}
    jets["classes"]["ujets"] = 300
    metrics = {"jets": jets, "tagging": section.metrics()}
    write_results(metrics, {"tagging": section.curves()}, folder)
    return read_results(folder, label)


def test_pictures_are_drawn(tagging, tmp_path):
    files = draw_plots([results_of(tagging, tmp_path)], tmp_path)
    assert {file.name for file in files} >= {
        "roc_b.png",
        "discriminant_b_Tagger.png",
        "discriminant_b_baseline.png",
    }
    assert all(file.stat().st_size > 10_000 for file in files)


def test_without_all_flavours_nothing_is_drawn(tagging, tmp_path):
    labels, *scores = tagging._per_jet[0]
    tagging._per_jet = [tuple(column[labels != 1] for column in (labels, *scores))]
    assert draw_plots([results_of(tagging, tmp_path)], tmp_path) == []
