"""Where the queries attend, and the product that makes a mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from maskformer_jax.model.decoder import ObjectHeads, attend_to_mask
from maskformer_jax.model.layers import Style

T, F = True, False
ROWS = {
    "positive logits": ([1.0, -1.0, 2.0], [T, T, T], [T, F, T]),
    "zero is not positive": ([1.0, 0.0, 0.0], [T, T, T], [T, F, F]),
    "nowhere: everywhere": ([-1.0, -2.0, -3.0], [T, T, T], [T, T, T]),
    "padding never": ([1.0, 2.0, 3.0], [T, F, T], [T, F, T]),
    "positive in padding alone": ([-1.0, -1.0, 3.0], [T, T, F], [T, T, F]),
    "no track": ([1.0, -1.0, 1.0], [F, F, F], [F, F, F]),
}


@pytest.mark.parametrize(("logits", "valid", "expected"), ROWS.values(), ids=ROWS)
def test_queries_attend_to_their_mask_or_everywhere(logits, valid, expected):
    found = attend_to_mask(jnp.asarray([[logits]]), jnp.asarray([[valid]]))
    np.testing.assert_array_equal(found, [[expected]])


def test_queries_of_a_jet_attend_each_to_their_own():
    logits = jnp.asarray([[[1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]]])
    found = attend_to_mask(logits, jnp.ones((1, 3, 2), bool))
    np.testing.assert_array_equal(found, [[[T, F], [T, T], [F, T]]])


def test_mask_logit_is_the_product_of_token_and_track():
    generator = np.random.default_rng(0)
    queries, tracks = (jnp.asarray(generator.normal(size=(2, n, 8)), jnp.float32) for n in (3, 5))
    heads = ObjectHeads(8, (6,), 3, 4, True, Style(), nnx.Rngs(0))
    found = jax.jit(lambda q, t: heads(q, t, 1, None))(queries, tracks)
    assert [x.shape for x in found] == [(2, 3, 3), (2, 3, 5), (2, 3, 4)]
    alone = jax.jit(lambda q, t: heads.masks(q, t, None))(queries, tracks)
    np.testing.assert_allclose(found.mask_logits, alone, atol=1e-6)
    tokens = jax.jit(lambda q: heads.mask_token(heads.query_norm(q)))(queries)
    tokens = np.asarray(tokens, np.float64)
    for jet, q, track in np.ndindex(2, 3, 5):
        x = np.asarray(tracks[jet, track], np.float64)
        normed = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
        expected = tokens[jet, q] @ normed / np.sqrt(8)
        assert found.mask_logits[jet, q, track] == pytest.approx(expected, abs=1e-4)
