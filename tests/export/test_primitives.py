"""Functions of JAX as ONNX graphs, with axes of any length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from maskformer_jax.errors import InputError
from maskformer_jax.export.run import session
from maskformer_jax.export.translation import to_onnx

FUNCTIONS = {
    "activations": lambda x, i: [
        f(x) for f in (jax.nn.relu, jax.nn.silu, jax.nn.gelu, jax.nn.mish, jax.nn.softplus)
    ],
    "transforms": lambda x, i: [
        jnp.log1p(jnp.abs(x)), jnp.expm1(x), jnp.arcsinh(x), jnp.sinh(x), jnp.exp(x), jnp.sin(x)
    ],
    "reductions": lambda x, i: [
        x.sum(), x.max(1), x.min(0), x.argmax(1), (x > 0).any(0), (x > 0).all(1), (x > 0).argmax(0)
    ],
    "choices": lambda x, i: [
        jnp.where(x > 0, x, 1.0), jnp.where(x > 0, x > 1, x < -1), jnp.clip(x, -1.0, 1.0),
        jnp.where(x[:, :1] > 0, x, 2.0),
    ],
    "softmax": lambda x, i: [jax.nn.softmax(x), jax.nn.log_softmax(x, axis=0)],
    "products": lambda x, i: [
        x @ x.T, x.T @ x, x @ jnp.arange(4.0), jnp.einsum("abc,acb->a", x[None], x.T[None]),
        jnp.einsum("abc,abd->acd", x[:, :, None], x[:, :, None] + 1),
        jnp.tensordot(x[:, :, None, None] + jnp.ones((4, 2, 3)), jnp.ones((2, 3, 5)), 2),
    ],
    "indices": lambda x, i: [
        jnp.take_along_axis(x[None], i[None, :, None], axis=1), x[:, 0][i], x[i],
        x[:, 1], x[0], x[0, :2], x[0, 1],
        jnp.take(x, jnp.array([2, 0]), axis=1),
        x.at[..., jnp.array([1, 3])].add(x[:, :2]),
    ],
    "shapes": lambda x, i: [
        *jnp.split(x, [1, 3], axis=1), jnp.stack([x, x]), jnp.pad(x, ((1, 0), (0, 2))),
        jnp.concatenate([x, x[:, :1]], axis=1), jnp.repeat(x, 2, axis=1), jnp.tile(x, (1, 2)),
        x.reshape(-1, 2), x[::-1] if False else x.T,
    ],
    "lengths": lambda x, i: [
        jnp.arange(x.shape[0] * (x.shape[0] + 1) // 2), jnp.eye(x.shape[0]),
        x / x.shape[0], jnp.broadcast_to(x[:, :1], (x.shape[0], 3)) * 1.0,
    ],
    "integers": lambda x, i: [i % 3, i * (i - 1) // 2, jnp.minimum(i, 2), i.astype(jnp.int8), -i],
}  # fmt: skip


def exported(function):
    (n,) = export.symbolic_shape("n")
    specs = {
        "x": jax.ShapeDtypeStruct((n, 4), jnp.float32),
        "i": jax.ShapeDtypeStruct((n,), jnp.int32),
    }
    number = len(jax.eval_shape(function, *(jnp.zeros((3, 4)), jnp.zeros(3, jnp.int32))))
    return session(
        to_onnx(function, specs, [f"o{k}" for k in range(number)], "t").SerializeToString()
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_graph_computes_what_jax_computes(name):
    function = FUNCTIONS[name]
    run = exported(function)
    for length in (1, 2, 7):
        generator = np.random.default_rng(length)
        x = generator.normal(size=(length, 4)).astype(np.float32)
        i = generator.integers(0, length, length).astype(np.int32)
        found = run({"x": x, "i": i}).values()
        for place, (given, wanted) in enumerate(
            zip(found, function(jnp.asarray(x), jnp.asarray(i)), strict=True)
        ):
            assert (given.shape, given.dtype) == (wanted.shape, wanted.dtype), place
            np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=2e-6, err_msg=str(place))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x, i: [jnp.sort(x)], "`sort`"),
        (lambda x, i: [jax.lax.scan(lambda c, y: (c + y.sum(), y), 0.0, x[:3])[0]], "`scan`"),
        (lambda x, i: [x.astype(jnp.bfloat16)], "bfloat16"),
        (lambda x, i: [x[i, i % 4]], "index of several axes"),
        (lambda x, i: [x.at[i].add(x)], "adding at some places"),
    ],
)
def test_what_has_no_translation_is_named(function, name):
    with pytest.raises(InputError, match=name):
        exported(function)
