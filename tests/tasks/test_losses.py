"""Each loss against float64 NumPy, its pairwise twin, finite differences and extreme inputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from maskformer_jax.tasks import losses
from maskformer_jax.tasks.losses import MaskCrossEntropy

OPTIONS = {
    "plain": MaskCrossEntropy(11.0),
    "valid": MaskCrossEntropy(None),
    "poly": MaskCrossEntropy(11.0, poly_epsilon=1.0),
    "negative poly": MaskCrossEntropy(11.0, poly_epsilon=-1.0),
    "focal": MaskCrossEntropy(None, focal_gamma=2.0),
    "focal poly": MaskCrossEntropy(11.0, poly_epsilon=0.5, focal_gamma=0.5),
}
options = pytest.mark.parametrize("ce", OPTIONS.values(), ids=OPTIONS)

VALID = np.arange(7) < np.array([7, 4, 1, 0])[:, None]


def example(seed=0):
    """Logits and masks of 4 jets, 3 objects, 7 tracks; one mask is empty, one jet has no track."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(4, 3, 7)).astype(np.float32) * 3
    masks = (generator.random((4, 3, 7)) < 0.5) & VALID[:, None]
    masks[0, 1] = False
    return jnp.asarray(logits), jnp.asarray(masks), jnp.asarray(VALID)


def twins(ce):
    """Every object term as (matched, pairwise): functions of a prediction [B, M, ...] alone."""
    logits, masks, valid = example()
    generator = np.random.default_rng(1)
    class_logits = jnp.asarray(generator.normal(size=(4, 3, 3)), jnp.float32)
    class_index = jnp.asarray(generator.integers(0, 3, (4, 3)), jnp.int32)
    predicted, wanted = jnp.asarray(generator.normal(size=(2, 4, 3, 5)), jnp.float32)
    return {
        "object_class": (
            class_logits,
            lambda x: losses.object_class(x, class_index),
            lambda x: losses.pairwise_object_class(x, class_index),
        ),
        "mask_ce": (
            logits,
            lambda x: losses.mask_ce(x, masks, valid, ce),
            lambda x: losses.pairwise_mask_ce(x, masks, valid, ce),
        ),
        "mask_dice": (
            logits,
            lambda x: losses.mask_dice(x, masks, valid),
            lambda x: losses.pairwise_mask_dice(x, masks, valid),
        ),
        "regression": (
            predicted,
            lambda x: losses.regression(x, wanted),
            lambda x: losses.pairwise_regression(x, wanted),
        ),
    }


TERMS = [
    ("object_class", "plain"),
    *(("mask_ce", name) for name in OPTIONS),
    ("mask_dice", "plain"),
    ("regression", "plain"),
]


@pytest.mark.parametrize(("term", "option"), TERMS)
def test_pairwise_cost_of_a_query_is_its_matched_loss(term, option):
    prediction, matched, pairwise = twins(OPTIONS[option])[term]
    cost = np.asarray(pairwise(prediction))
    assert cost.shape == (4, 3, 3)
    for order in itertools.permutations(range(3)):
        expected = np.asarray(matched(prediction[:, list(order)]))
        np.testing.assert_allclose(cost[:, list(order), range(3)], expected, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_finite_differences():
    terms = [twins(OPTIONS[option])[term][:2] for term, option in TERMS]
    with jax.enable_x64(True):
        predictions = [jnp.asarray(np.asarray(x, np.float64)) for x, _ in terms]
        every = jax.jit(lambda *xs: [loss(x) for x, (_, loss) in zip(xs, terms, strict=True)])
        check_grads(every, predictions, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


@options
def test_mask_ce_is_the_sum_over_real_tracks_divided(ce):
    logits, masks, valid = example()
    found = np.asarray(losses.mask_ce(logits, masks, valid, ce))
    x, y = np.asarray(logits, np.float64), np.asarray(masks)
    for jet, m in np.ndindex(4, 3):
        total = 0.0
        for track in np.flatnonzero(VALID[jet]):
            p = 1 / (1 + np.exp(-x[jet, m, track]))
            p_t = p if y[jet, m, track] else 1 - p
            total -= (1 - p_t) ** ce.focal_gamma * np.log(p_t)
            total += ce.poly_epsilon * (1 - p_t)
        divisor = max(VALID[jet].sum(), 1) if ce.divisor is None else ce.divisor
        assert found[jet, m] == pytest.approx(total / divisor, rel=1e-5, abs=1e-6)


def test_mask_dice_is_its_formula_over_real_tracks():
    logits, masks, valid = example()
    found = np.asarray(losses.mask_dice(logits, masks, valid))
    x, y = np.asarray(logits, np.float64), np.asarray(masks)
    for jet, m in np.ndindex(4, 3):
        p = 1 / (1 + np.exp(-x[jet, m, VALID[jet]]))
        inside = y[jet, m, VALID[jet]]
        expected = 1 - (2 * p[inside].sum() + 1) / (p.sum() + inside.sum() + 1)
        assert found[jet, m] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_cross_entropy_agrees_with_optax():
    generator = np.random.default_rng(2)
    logits = jnp.asarray(generator.normal(size=(4, 7, 8)), jnp.float32)
    index = jnp.asarray(generator.integers(0, 8, (4, 7)), jnp.int32)
    np.testing.assert_allclose(
        losses.cross_entropy(logits, index),
        optax.losses.softmax_cross_entropy_with_integer_labels(logits, index),
        rtol=1e-6,
    )


def test_values_by_hand():
    """Two tracks of probability 3/4, one inside the mask, one outside, and one that is padding."""
    logits = jnp.full((1, 1, 3), jnp.log(3.0))
    masks, valid = jnp.asarray([[[True, False, False]]]), jnp.asarray([[True, True, False]])

    def ce(*arguments):
        return losses.mask_ce(logits, masks, valid, MaskCrossEntropy(*arguments)).item()

    plain = np.log(4 / 3) + np.log(4)
    assert ce(10.0) == pytest.approx(plain / 10)
    assert ce(None) == pytest.approx(plain / 2)
    assert ce(10.0, 2.0) == pytest.approx((plain + 2 * (1 / 4 + 3 / 4)) / 10)
    assert ce(1.0, 0.0, 2.0) == pytest.approx(np.log(4 / 3) / 16 + np.log(4) * 9 / 16)
    assert losses.mask_dice(logits, masks, valid).item() == pytest.approx(1 - 2.5 / 3.5)
    logits = jnp.zeros((1, 1, 4))
    assert losses.object_class(logits, jnp.zeros((1, 1), int)).item() == pytest.approx(np.log(4))
    predicted, wanted = jnp.asarray([[[1.0, -2.0]]]), jnp.asarray([[[0.0, 1.0]]])
    assert losses.regression(predicted, wanted).item() == pytest.approx(2.0)


def test_empty_mask_is_lowest_where_nothing_is_predicted():
    masks, valid = jnp.zeros((1, 1, 7), bool), jnp.ones((1, 7), bool)
    ce = OPTIONS["plain"]
    for x, dice in ((-40.0, 0.0), (0.0, 1 - 1 / 4.5), (40.0, 1 - 1 / 8)):
        logits = jnp.full((1, 1, 7), x)
        assert losses.mask_dice(logits, masks, valid).item() == pytest.approx(dice, abs=1e-6)
        expected = 7 * np.log1p(np.exp(x)) / 11
        assert losses.mask_ce(logits, masks, valid, ce).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("term", "option"), TERMS)
def test_extreme_predictions_are_finite_with_finite_gradients(term, option):
    prediction, matched, pairwise = twins(OPTIONS[option])[term]
    gradient = jax.jit(jax.value_and_grad(lambda x: matched(x).sum()))
    for size in (1e4, -1e4):
        extreme = jnp.sign(prediction) * size
        value, slope = gradient(extreme)
        assert np.isfinite(value) and np.isfinite(slope).all()
        assert np.isfinite(pairwise(extreme)).all()
        assert value > 1 if term == "mask_dice" else value > 1e3


@pytest.mark.parametrize("name", ["mask_ce", "pairwise_mask_ce", "mask_dice", "pairwise_mask_dice"])
@options
def test_padding_tracks_change_nothing(name, ce):
    logits, masks, valid = example()
    extra = (ce,) if name.endswith("mask_ce") else ()
    loss = getattr(losses, name)
    expected = loss(logits, masks, valid, *extra)
    garbage = jnp.where(valid[:, None], logits, 1e4)
    np.testing.assert_array_equal(loss(garbage, masks, valid, *extra), expected)
    wider = [(0, 0), (0, 0), (0, 4)]
    padded = jnp.pad(logits, wider, constant_values=-3.0), jnp.pad(masks, wider)
    found = loss(*padded, jnp.pad(valid, wider[1:]), *extra)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: loss(x, masks, valid, *extra).sum()))(logits)
    real = np.broadcast_to(VALID[:, None], gradient.shape)
    np.testing.assert_array_equal(np.asarray(gradient) != 0, real)
