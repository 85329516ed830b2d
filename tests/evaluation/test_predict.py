import jax.numpy as jnp
import numpy as np
import pytest

from maskformer_jax.build import build
from maskformer_jax.data import JetFile, Scaling, read_sequential
from maskformer_jax.data.scaling import unfitted
from maskformer_jax.evaluation.trained import Trained, build_predict, predict_file
from maskformer_jax.tasks.matching import mask_index

NONE, REAL = [0.1, 0.1, 0.8], [0.5, 0.2, 0.3]


def test_track_goes_to_the_real_object_with_the_largest_mask():
    logits = jnp.array([[[1.0, 5.0, -1.0, 3.0], [2.0, 9.0, -2.0, 4.0], [0.5, 1.0, -3.0, 9.0]]])
    prob = jnp.array([[REAL, NONE, REAL]])
    valid = jnp.array([[True, True, True, False]])
    # Object 1 is none; no mask reaches 1/2 for track 2; track 3 is padding.
    np.testing.assert_array_equal(mask_index(logits, prob, valid), [[0, 0, -1, -1]])


def test_without_objects_no_track_is_assigned():
    index = mask_index(jnp.full((1, 2, 3), 9.0), jnp.array([[NONE, NONE]]), jnp.ones((1, 3), bool))
    np.testing.assert_array_equal(index, [[-1, -1, -1]])


@pytest.fixture
def predicted(make_configs, test_path):
    """`predicted(overlay, labels)`: predictions of one batch with these labels, none: all."""

    def predict(overlay="", labels=None):
        model = build(make_configs(*filter(None, [overlay])))
        file = JetFile(test_path, model.schema)
        scaling = unfitted(model.schema)
        _, batch, found = next(read_sequential(file, scaling, 30, labelled_only=False))
        file.close()
        found = {k: v for k, v in found.items() if labels is None or k in labels}
        return build_predict(model)(model.params, batch, found), found

    return predict


def test_objects_are_matched_and_those_that_are_left_come_after(predicted):
    """Six queries for four truth slots: all are there, whatever the truth, in another order."""
    overlay = "tasks: {hadrons: {queries: 6}}"
    (matched, counts), labels = predicted(overlay)
    (queries, none), _ = predicted(overlay, ["flavour"])
    assert matched["hadrons"]["class_prob"].shape == (30, 6, 3)
    for name in ("class_prob", "regression", "mask_logits"):
        found, expected = (np.sort(x["hadrons"][name], axis=1) for x in (matched, queries))
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.any(matched["hadrons"]["regression"] != queries["hadrons"]["regression"])
    true = np.pad(labels["hadron_class"], ((0, 0), (0, 2)), constant_values=2)
    right = matched["hadrons"]["class_prob"].argmax(-1) == true
    assert right.sum() == np.trace(counts["hadrons"]["confusion"])
    assert none["hadrons"] == none["track_origin"] == {} and "confusion" in none["jet_class"]
    np.testing.assert_allclose(np.exp(matched["jet_class"]["log_prob"]).sum(-1), 1, rtol=1e-5)


def test_chunks_are_on_the_host_without_padding_and_in_units_of_the_file(edges_config, test_path):
    model = build(edges_config)
    file = JetFile(test_path, model.schema)
    scaling = unfitted(model.schema)
    trained = Trained(edges_config, Scaling(*scaling), model, model.params, None)
    chunks = list(predict_file(trained, file))
    file.close()
    assert [len(chunk.records.jets) for chunk in chunks] == [25, 25, 10]
    for chunk in chunks:
        jets, tracks = chunk.records.jets, chunk.records.streams["tracks"]
        real = tracks.index >= 0
        np.testing.assert_allclose(chunk.true["energy"][:, 0], jets["pt"], rtol=1e-5)
        # Divided by the significance, and times that again.
        given = np.take_along_axis(tracks.table["d0"], np.maximum(tracks.index, 0), axis=1)
        np.testing.assert_allclose(chunk.true["size"][real, 0], given[real], rtol=1e-5)
        assert chunk.predictions["energy"]["stddev"].min() > 0
        index = chunk.predictions["vertexing"]["vertex_index"]
        assert index.shape == real.shape and np.array_equal(index >= 0, real)
        assert np.all(np.take_along_axis(index, np.maximum(index, 0), axis=1)[real] == index[real])
