"""Methods that need the losses alone."""

from rows import Row

ROWS = [
    Row("equal", "loss", laws=frozenset({"linear", "permutation", "homogeneous"})),
    Row(
        "static",
        "loss",
        lambda k: {"weights": [0.3, 2.0, 0.0, 10.0, 1.0, 3.0][:k]},
        wrong=(
            ({"weights": [1.0, 2.0]}, r"`weights` must hold 4 values.*\[1.0, 2.0\]"),
            ({"weights": [1.0, 1.0, 1.0, -1.0]}, r"`weights` .* not negative.*-1.0"),
            ({"weights": [1.0, 1.0, 1.0, float("nan")]}, r"`weights` must be finite.*nan"),
            ({"weights": [1.0, 1.0, 1.0, float("inf")]}, r"`weights` must be finite.*inf"),
            ({"weights": [0.0, 0.0, 0.0, 0.0]}, r"`weights` .* not all zero"),
        ),
        alone=0.3,
        laws=frozenset({"linear", "permutation", "homogeneous"}),
    ),
]
