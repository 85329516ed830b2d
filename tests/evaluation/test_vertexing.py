from types import SimpleNamespace

import numpy as np
import pytest
from puma.utils.vertexing import (
    calculate_vertex_metrics,
    clean_reco_vertices,
    clean_truth_vertices,
)

from maskformer_jax.evaluation.trained import vertices_of_edges
from maskformer_jax.evaluation.vertex_finding import of_edges, of_masks
from maskformer_jax.evaluation.vertexing import (
    flight_length,
    mask_to_index,
    match_vertices,
    merged,
)

# predicted, true -> matched, true, predicted
CASES = {
    "same tracks, other numbers": ([1, 1, 0, 0, -1], [0, 0, 2, 2, -1], (2, 2, 2)),
    "single tracks are no vertices": ([0, -1, -1, -1, -1], [3, 1, -1, -1, -1], (0, 0, 0)),
    "too few of the true tracks": ([0, 0, -1, -1, -1], [1, 1, 1, 1, -1], (0, 1, 1)),
    "two thirds of the true tracks": ([0, 0, -1, -1, -1], [1, 1, 1, -1, -1], (1, 1, 1)),
    "less than half true": ([0, 0, 0, 0, 0], [1, 1, -1, -1, -1], (0, 1, 1)),
    "half true": ([0, 0, 0, 0, -1], [1, 1, -1, -1, -1], (1, 1, 1)),
    "merged vertices match once": ([0, 0, 0, 0, 0], [1, 1, 1, 2, 2], (1, 2, 1)),
    "one vertex for two true ones": ([0, 0, 0, 0, -1], [1, 1, 2, 2, -1], (1, 2, 1)),
    "fake": ([0, 0, -1, -1, -1], [-1, -1, -1, -1, -1], (0, 0, 1)),
    "lost": ([-1, -1, -1, -1, -1], [0, 0, 0, -1, -1], (0, 1, 0)),
    "no tracks": ([-1] * 5, [-1] * 5, (0, 0, 0)),
}


def count(predicted, true, number):
    """Numbers of matches, of true and of predicted vertices in each jet."""
    vertices = match_vertices(predicted, true, number)
    exist = (vertices.matched, vertices.true.any(2), vertices.predicted.any(2))
    return np.stack([x.reshape(len(x), -1).sum(axis=1) for x in exist], axis=1)


def test_matching_of_vertices():
    predicted, true, expected = (np.array(x) for x in zip(*CASES.values(), strict=True))
    found = dict(zip(CASES, map(tuple, count(predicted, true, 4)), strict=True))
    assert found == dict(zip(CASES, map(tuple, expected), strict=True))


def test_ties_go_to_the_smaller_then_to_the_first_true_vertex():
    predicted = np.array([[3, 3, 3, 3, -1], [3, 3, 3, 3, -1]])
    matched = match_vertices(predicted, np.array([[1, 1, 2, 2, 1], [1, 1, 2, 2, -1]]), 4).matched
    assert np.argwhere(matched).tolist() == [[0, 3, 2], [1, 3, 1]]


@pytest.mark.parametrize("tracks, objects, kept", [(6, 4, 0.7), (40, 5, 0.8), (9, 3, 0.5)])
@pytest.mark.parametrize("inclusive", [False, True])
def test_matching_is_that_of_puma(tracks, objects, kept, inclusive):
    generator = np.random.default_rng(tracks)
    true = generator.integers(-1, objects, (400, tracks))
    other = generator.integers(-1, objects, true.shape)
    predicted = np.where(generator.random(true.shape) < kept, true, other)
    if inclusive:
        true, predicted, objects = merged(true), merged(predicted), 1
    expected = calculate_vertex_metrics(predicted, true)
    found = count(predicted, true, objects)
    np.testing.assert_array_equal(
        found, np.stack([expected[key] for key in ("n_match", "n_ref", "n_test")], axis=1)
    )
    assert found[:, 0].any()


def test_masks_become_indices():
    masks = np.zeros((1, 3, 4), bool)
    masks[0, 0, 1] = masks[0, 2, 3] = masks[0, 2, 0] = True
    np.testing.assert_array_equal(mask_to_index(masks), [[2, 0, -1, 2]])


def test_flight_length_is_that_of_the_tracks():
    index = np.array([[0, 0, 0, 1, -1]])
    lengths = np.array([[2.0, 6.0, 100.0]])
    exclusive, inclusive = np.zeros((1, 3, 5), bool), np.array([[[True] * 4 + [False]]])
    exclusive[0, 0, :3] = True
    np.testing.assert_array_equal(flight_length(exclusive, index, lengths), [[2, 0, 0]])
    np.testing.assert_array_equal(flight_length(inclusive, index, lengths), [[3]])


HEAVY, PRIMARY = (3, 4, 5), 2


def random_vertices(generator, jets=300, tracks=12):
    """Vertices and origins of the tracks, true and predicted, and which tracks are real."""
    real = np.arange(tracks) < generator.integers(0, tracks + 1, jets)[:, None]
    true = generator.integers(-2, 4, real.shape)
    predicted = np.where(generator.random(real.shape) < 0.7, true + 2, 1)
    true_origin, origin = generator.choice([1, 2, 3, 4, 5, 7], (2, *real.shape))
    # Most vertices are of one origin.
    true_origin = np.where(generator.random(real.shape) < 0.8, 3 + true % 3, true_origin)
    padded = [np.where(real, x, -1) for x in (predicted, true, origin, true_origin)]
    return padded, real


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("has_origins", [False, True])
def test_vertices_of_edges_are_cleaned_and_matched_as_puma_does(
    inclusive, has_origins, edges_config, make_setting
):
    """The section against puma's own functions, jet by jet on the real tracks."""
    (predicted, true, origin, true_origin), real = random_vertices(np.random.default_rng(5))
    names = ["vertexing", "track_origin"] if has_origins else ["vertexing"]
    setting = make_setting(edges_config, labels=["vertex", "origin"])
    setting = setting._replace(tasks=[t for t in setting.tasks if t.name in names])
    task = next(task for task in setting.tasks if task.name == "vertexing")
    section = of_edges(setting, task)
    section.add(
        SimpleNamespace(
            records=SimpleNamespace(jets=np.zeros(len(real), [("pt_btagJes", "f4")])),
            labels={"vertex": true, "origin": true_origin},
            predictions={
                "vertexing": {"vertex_index": predicted},
                "track_origin": {"log_prob": np.log(np.eye(8)[origin] + 1e-9)},
            },
        )
    )
    table = section.part().table(f"vertices_{'inclusive' if inclusive else 'exclusive'}")
    sums = np.zeros(3, int)
    for jet, kept in enumerate(real):
        own = predicted[jet, kept].copy()
        reference = clean_truth_vertices(true[jet, kept].copy(), true_origin[jet, kept], inclusive)
        given = origin[jet, kept] if has_origins else None
        cleaned = clean_reco_vertices(own, given, inclusive) if kept.any() else own
        numbers = calculate_vertex_metrics(cleaned[None], reference[None])
        sums += [numbers[key][0] for key in ("n_match", "n_ref", "n_test")]
    matched, true, tested = sums
    assert (table.get("all", "true").value, table.get("all", "predicted").value) == (true, tested)
    assert table.get("all", "efficiency").value == pytest.approx(100 * matched / true)
    assert table.get("all", "purity").value == pytest.approx(100 * matched / tested)
    assert matched > 20


def test_vertices_are_the_connected_components_of_edges():
    pairs = np.array([[0, 1], [1, 3], [2, 4]])
    edges = np.array([[True, True, False], [False, False, True]])
    first, second = (np.tile(pairs[:, i], (2, 1)) for i in (0, 1))
    real = np.array([[True] * 5, [True] * 5])
    real[0, 4] = False
    index = vertices_of_edges(edges, first, second, real)
    np.testing.assert_array_equal(index, [[0, 0, 2, 0, -1], [0, 1, 2, 3, 2]])
    nothing = vertices_of_edges(edges[:, :0], first[:, :0], second[:, :0], real)
    np.testing.assert_array_equal(nothing, [[0, 1, 2, 3, -1], [0, 1, 2, 3, 4]])


def chunk(label, predicted, true, pt, lengths):
    """Jets with hadron properties (pT, Lxy) of which only Lxy is given, predicted and true."""
    masks = np.asarray(true)[:, None] == np.arange(2)[:, None]
    jets = np.array([(1000 * x,) for x in pt], [("pt_btagJes", "f4")])
    properties = np.stack([np.zeros_like(lengths), lengths], axis=-1).astype(float)
    return SimpleNamespace(
        records=SimpleNamespace(jets=jets),
        labels={"flavour": np.array(label), "hadrons": SimpleNamespace(masks=masks)},
        predictions={"hadrons": {"mask_index": np.array(predicted)}},
        predicted={"hadrons.regression": properties[0]},
        true={"hadrons.regression": properties[1]},
    )


@pytest.fixture
def section(make_vertexing):
    """A b jet whose vertices are found merged, a light jet with a fake, an unlabelled jet."""
    result = make_vertexing()
    lengths = np.array([[[5.0, 0.0], [-0.1, 0.0], [0.0, 0.0]], [[9.0, 1.5], [0, 0], [0, 0]]])
    result.add(
        chunk(
            label=[0, 2, -1],
            predicted=[[0, 0, 0, 0, 0], [0, 0, -1, -1, -1], [-1] * 5],
            true=[[1, 1, 1, 1, 0], [-1] * 5, [1, 1, -1, -1, -1]],
            pt=[25, 700, 700],
            lengths=lengths,
        )
    )
    # A c jet whose hadron is split: two tracks each, of which neither is 65 %.
    nothing = np.zeros((2, 1, 2))
    result.add(chunk([1], [[0, 0, 1, 1, -1]], [[0, 0, 0, 0, -1]], [25], nothing))
    return result


@pytest.fixture
def make_vertexing(make_configs, make_setting):
    def make(overlay="", field="pt_btagJes", labels=None):
        options = f"evaluation: {{pt_edges: [20, 50, 1000], fields: {{jet_pt: {field}}}}}"
        setting = make_setting(make_configs(options, *filter(None, [overlay])), labels)
        return of_masks(setting, next(t for t in setting.tasks if t.name == "hadrons"))

    return make


# kind, class of jets -> efficiency, purity, jets with a vertex: passed and total of each
METRICS = {
    ("exclusive", "bjets"): ((1, 1), (1, 1), (1, 1)),
    ("exclusive", "cjets"): ((0, 1), (0, 2), (1, 1)),
    ("exclusive", "ujets"): ((0, 0), (0, 1), (1, 1)),
    ("exclusive", "all"): ((1, 3), (1, 4), (3, 4)),
    ("inclusive", "bjets"): ((1, 1), (1, 1), (1, 1)),
    ("inclusive", "cjets"): ((1, 1), (1, 1), (1, 1)),
    ("inclusive", "ujets"): ((0, 0), (0, 1), (1, 1)),
    ("inclusive", "all"): ((2, 3), (2, 3), (3, 4)),
}


def test_quantities_by_class(section):
    part = section.part()
    for (kind, name), expected in METRICS.items():
        table = part.table(f"vertices_{kind}")
        for column, (passed, total) in zip(
            ("efficiency", "purity", "with_vertex"), expected, strict=True
        ):
            found = table.get(name, column)
            if total == 0:
                assert found is None
            elif passed in (0, total):
                assert found.remark == ("upper limit" if passed == 0 else "lower limit")
            else:
                assert found.value == pytest.approx(100 * passed / total), (kind, name)
    exclusive = part.table("vertices_exclusive")
    assert exclusive.get("all", "efficiency").error == pytest.approx(100 * np.sqrt(2 / 27))
    # A vertex in light jets is a fake.
    compared = [("efficiency", "bjets"), ("efficiency", "cjets"), ("purity", "bjets")]
    compared += [("purity", "cjets"), ("with_vertex", "ujets")]
    assert list(exclusive.compared()) == compared
    assert exclusive.get("ujets", "with_vertex").better == "low"


def filled(part, figure, name):
    """Lower edge and value of the bins that are not empty."""
    (curve,) = (c.points for c in part.curves if (c.figure, c.name) == (figure, name))
    kept = np.isfinite(curve.value)
    return dict(zip(curve.x[:-1][kept].tolist(), curve.value[kept].tolist(), strict=True))


def test_curves_by_class(section):
    part = section.part()
    assert filled(part, "vertexing_bjets_pt", "exclusive efficiency") == {20: 1}
    assert filled(part, "vertexing_fake_rate", "exclusive with_vertex") == {50: 1}
    # The true flight length is 1.5 mm, the predicted one 5 mm.
    assert filled(part, "vertexing_bjets_Lxy", "exclusive efficiency") == {1: 1}
    assert filled(part, "vertexing_bjets_Lxy", "exclusive purity") == {4: 1}
    # Four tracks of a hadron at 1.5 mm and one of another at 9 mm.
    assert filled(part, "vertexing_bjets_Lxy", "inclusive efficiency") == {3: 1}
    figures = {curve.figure for curve in part.curves}
    of_classes = {f"vertexing_{name}jets_{axis}" for name in "bc" for axis in ("pt", "eta", "Lxy")}
    assert figures == {"vertexing_fake_rate", "vertexing_fake_rate_eta", *of_classes}


def test_a_length_below_zero_is_in_the_first_bin(make_vertexing):
    section = make_vertexing()
    lengths = np.array([[[-0.1, 0.0]], [[2.5, 0.0]]])
    section.add(chunk([0], [[0, 0]], [[0, 0]], [30], lengths))
    assert filled(section.part(), "vertexing_bjets_Lxy", "exclusive purity") == {0: 1}


def test_without_flight_length_or_pt_there_are_no_such_curves(make_vertexing):
    section = make_vertexing("without: [regression]", field="energy")
    section.add(chunk([0], [[0, 0]], [[0, 0]], [30], np.zeros((2, 1, 2))))
    part = section.part()
    assert not any(curve.figure.endswith("Lxy") for curve in part.curves)
    assert filled(part, "vertexing_bjets_pt", "exclusive efficiency") == {}
    # The only one is found.
    assert part.table("vertices_exclusive").get("bjets", "efficiency").remark == "lower limit"


def test_without_classes_all_jets_are_one_and_without_masks_there_is_nothing(make_vertexing):
    section = make_vertexing(labels=["hadrons"])
    section.add(chunk([0], [[0, 0]], [[0, 0]], [30], np.zeros((2, 1, 2))))
    table = section.part().table("vertices_exclusive")
    assert list(table.rows) == ["all"] and ("efficiency", "all") in table.compared()
    assert make_vertexing("without: [mask_ce]") is None
    assert make_vertexing(labels=["flavour"]) is None
