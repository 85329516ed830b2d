"""Methods whose weights are given by the Gramian in a few steps."""

from rows import Row

ROWS = [
    Row(
        "imtl_g",
        "gramian",
        wrong=(
            ({"preference": [1.0, 2.0]}, r"`preference` must hold 4 finite values.*2.0"),
            ({"preference": [1.0, 1.0, 1.0, 0.0]}, r"`preference` must hold positive.*0.0"),
        ),
        laws=frozenset({"permutation", "homogeneous"}),
    ),
]
