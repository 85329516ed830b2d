import numpy as np
import pytest

from maskformer_jax.evaluation.plots import regression
from maskformer_jax.evaluation.results import Results

EDGES = [0.0, 0.5, 1.0, 1.5]


def results_of(label, counts, found=100, edges=EDGES):
    counts = np.array(counts, float)
    curve = {"x": edges, "value": counts.tolist(), "error": np.sqrt(counts).tolist()}
    undefined = [1.1, np.nan, 0.9]
    profile = {"x": [5.0, 10.0, 20.0, 40.0], "value": undefined, "error": [0.1, np.nan, 0.2]}
    entry = {"formula": "pt: true - predicted", "unit": "MeV", "number": found}
    entry |= {"mean": 0.1, "std": 0.5, "median": -0.123, "half_width_68": 0.25}
    metrics = {"entries": "hadrons", "against": "true hadron"}
    metrics |= {"found": found, "of": 150, "residuals": {"pt": entry}}
    curves = {"histograms": {"pt": curve}}
    curves["response"] = {"pt": {"median": profile, "half_width_68": profile}}
    return Results(label, {"regression": {"hadrons": metrics}}, {"regression": {"hadrons": curves}})


@pytest.fixture
def figures(monkeypatch):
    """Name of the file -> figure, instead of files."""
    drawn = {}
    monkeypatch.setattr(regression, "save", lambda figure, path: drawn.update({path.name: figure}))
    return drawn


def test_one_run_has_no_ratios(figures, tmp_path):
    regression.draw([results_of("A", [20, 60, 20])], tmp_path)
    (panel,) = figures["residuals.png"].axes
    np.testing.assert_allclose(panel.patches[0].get_data().values, [0.2, 0.6, 0.2])
    assert panel.get_xlabel() == "$p_T$: true − predicted [MeV]"
    assert panel.get_legend().get_texts()[0].get_text() == "−0.12 ± 0.25"
    assert len(figures["response.png"].axes) == 2
    texts = [text.get_text() for text in figures["residuals.png"].legends[0].get_texts()]
    assert texts == ["A: 100 hadrons found of 150"]


def test_ratios_are_to_the_first_run_where_it_has_hadrons(figures, tmp_path):
    runs = [results_of("A", [20, 70, 5]), results_of("B", [30, 35, 30])]
    regression.draw(runs, tmp_path)
    main, ratio = figures["residuals.png"].axes
    assert len(main.patches) == len(ratio.patches) == 2
    np.testing.assert_allclose(ratio.patches[0].get_data().values, [1, 1, np.nan])
    np.testing.assert_allclose(ratio.patches[1].get_data().values, [1.5, 0.5, np.nan])


def test_histograms_with_other_edges_have_no_ratio(figures, tmp_path):
    other = results_of("B", [30, 35, 30], edges=[0.0, 1.0, 2.0, 3.0])
    regression.draw([results_of("A", [20, 70, 15]), other], tmp_path)
    main, ratio = figures["residuals.png"].axes
    assert len(main.patches) == 2 and len(ratio.patches) == 1


def test_pictures_are_written(tmp_path):
    files = regression.draw([results_of("A", [20, 60, 20])], tmp_path)
    assert [file.name for file in files] == ["residuals.png", "response.png"]
    assert all(file.stat().st_size > 10_000 for file in files)


def test_without_hadrons_nothing_is_drawn(tmp_path):
    nothing = Results("A", {"regression": {"hadrons": {"found": 0}}}, {})
    assert regression.draw([nothing, Results("B", {}, {})], tmp_path) == []
