import jax.numpy as jnp
import numpy as np

from maskformer_jax.evaluation.predict import build_predict, mask_index
from maskformer_jax.types import Batch, Objects, Outputs, Targets

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


def _case():
    generator = np.random.default_rng(0)
    outputs = Outputs(
        jet_class_logits=jnp.array([[1.0, 0.0, 0.0]]),
        origin_logits=jnp.array([[[0.0, 3.0], [0.0, 0.0]]]),
        objects=Objects(
            class_logits=jnp.array([[[9.0, 0.0], [0.0, 9.0]]], jnp.bfloat16),
            mask_logits=jnp.asarray(generator.normal(size=(1, 2, 2))),
            regression=jnp.array([[[1.0], [2.0]]]),
        ),
    )
    batch = Batch(
        jets=jnp.zeros((1, 1), jnp.float32),
        tracks=jnp.zeros((1, 2, 1), jnp.float32),
        valid=jnp.ones((1, 2), bool),
        jet_valid=jnp.ones(1, bool),
    )
    targets = Targets(
        jet_class_index=jnp.array([0]),
        origin_index=jnp.array([[1, 0]]),
        object_class_index=jnp.array([[1, 0]]),
        object_valid=jnp.array([[False, True]]),
        masks=jnp.zeros((1, 2, 2), bool),
        regression=jnp.zeros((1, 2, 1), jnp.float32),
    )
    return outputs, batch, targets


def test_objects_are_in_the_order_of_the_match():
    outputs, batch, targets = _case()
    predict = build_predict(lambda params, batch: outputs, lambda *_: jnp.array([[1, 0]]))
    result = predict((), batch, targets)
    np.testing.assert_array_equal(result.regression[..., 0], [[2.0, 1.0]])
    np.testing.assert_allclose(result.object_prob[0, 1], [1, 0], atol=1e-3)
    np.testing.assert_allclose(result.mask_logits, outputs.objects.mask_logits[:, ::-1], rtol=1e-6)
    np.testing.assert_array_equal(result.confusions.objects, [[1, 0], [0, 1]])
    assert result.object_prob.dtype == np.float32


def test_without_a_match_objects_stay_in_the_order_of_the_queries():
    outputs, batch, targets = _case()
    result = build_predict(lambda params, batch: outputs, None)((), batch, targets)
    np.testing.assert_array_equal(result.regression[..., 0], [[1.0, 2.0]])
    np.testing.assert_allclose(np.exp(result.jet_log_prob).sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(result.origin_prob[0, 1], 0.5)
