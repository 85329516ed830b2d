import numpy as np
import pytest

from maskformer_jax.evaluation.metrics import Scores
from maskformer_jax.evaluation.plots import draw_plots, roc_curve


def test_roc_curve_by_hand():
    signal, background = np.arange(10.0), np.array([0.0, 1.0, 4.0, 8.5])
    # The cuts are 9, 5 and 0: no, one and all four background jets pass.
    curve = roc_curve(signal, background, np.array([0.1, 0.5, 1.0]))
    assert np.isnan(curve[0]) and curve[1:].tolist() == [4.0, 1.0]


@pytest.fixture
def scores():
    generator = np.random.default_rng(0)
    flavour = np.repeat([0, 1, 2], 300).astype(np.int8)
    shift = np.array([3.0, 1.0, 0.0])[flavour]
    taggers = {
        name: (generator.normal(size=900) + scale * shift).astype(np.float32)
        for name, scale in (("Tagger", 1.0), ("baseline", 0.5))
    }
    return Scores(flavour, taggers)


def test_pictures_are_drawn(scores, config, tmp_path):
    files = draw_plots(scores, config, tmp_path)
    assert [file.name for file in files] == [
        "roc.png",
        "discriminant_Tagger.png",
        "discriminant_baseline.png",
    ]
    assert all(file.stat().st_size > 10_000 for file in files)


def test_without_all_flavours_nothing_is_drawn(scores, config, tmp_path):
    some = scores.jet_class_index != 1
    taggers = {name: score[some] for name, score in scores.taggers.items()}
    assert draw_plots(Scores(scores.jet_class_index[some], taggers), config, tmp_path) == []
