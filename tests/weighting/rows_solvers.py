"""Methods whose weights solve a problem on the Gramian."""

from math import nan

from rows import Row

PREFERENCE = (
    ({"preference": [1.0, 2.0]}, r"`preference` must hold 4 finite values.*2.0"),
    ({"preference": [1.0, 1.0, 1.0, 0.0]}, r"`preference` must hold positive.*0.0"),
    ({"preference": "four"}, r"`preference` must hold 4 finite values.*four"),
)
SYMMETRIC = frozenset({"permutation", "homogeneous"})

ROWS = [
    Row(
        "cagrad",
        "gramian",
        wrong=(
            ({"c": -0.1}, r"`c` must be a number that is not negative; got -0.1"),
            ({"c": "0.4"}, r"`c` must be a number.*0.4"),
            ({"c": nan}, r"`c` must be a number.*nan"),
            ({"rescale": "c"}, r"`rescale` must be one of .*got 'c'"),
            ({"rescale": 1}, r"`rescale` must be one of .*got 1"),
        ),
        alone=1.5,
        laws=SYMMETRIC | {"pareto"},
    ),
    Row(
        "nash_mtl",
        "gramian",
        wrong=(
            ({"max_norm": -1.0}, r"`max_norm` must be at least 0; got -1.0"),
            ({"max_norm": None}, r"`max_norm` must be at least 0; got None"),
            ({"update_every": 0}, r"`update_every` must be an integer from 1 to \d+; got 0"),
            ({"update_every": 2.0}, r"`update_every` must be an integer from 1 to \d+; got 2.0"),
            *PREFERENCE,
        ),
        alone=lambda length: 1 / length,
        laws=frozenset({"permutation", "row_scaling", "non_conflicting", "pareto"}),
    ),
    Row(
        "mgda",
        "gramian",
        wrong=(
            ({"normalise": "l1"}, r"`normalise` must be one of .*got 'l1'"),
            ({"normalise": None}, r"`normalise` must be one of .*got None"),
            ({"divide": 1}, r"`divide` must be true or false; got 1"),
        ),
        laws=SYMMETRIC | {"non_conflicting", "stationary", "pareto"},
    ),
    Row(
        "upgrad",
        "gramian",
        wrong=PREFERENCE,
        laws=SYMMETRIC | {"non_conflicting", "stationary", "pareto"},
    ),
    Row(
        "dualproj",
        "gramian",
        wrong=PREFERENCE,
        laws=SYMMETRIC | {"non_conflicting", "stationary", "pareto"},
    ),
    Row(
        "fairgrad",
        "gramian",
        wrong=(
            ({"alpha": -1.0}, r"`alpha` must be at least 0; got -1.0"),
            ({"alpha": "1"}, r"`alpha` must be at least 0; got '1'"),
            ({"alpha": True}, r"`alpha` must be at least 0; got True"),
            *PREFERENCE,
        ),
        alone=lambda length: 1 / length,
        laws=frozenset({"permutation", "row_scaling", "non_conflicting", "pareto"}),
    ),
    Row(
        "pcd",
        "gramian",
        wrong=(
            ({"tau": 1.5}, r"`tau` must be within \[0, 1\]; got 1.5"),
            ({"tau": [0.1]}, r"`tau` must be within \[0, 1\]; got \[0.1\]"),
            ({"beta": 1.0}, r"`beta` must be within \[0, 1\); got 1.0"),
            ({"eps": -1e-8}, r"`eps` must be at least 0; got -1e-08"),
            ({"primary": 4}, r"`primary` must be within 0 to 3; got 4"),
            ({"primary": "jet"}, r"`primary` must be within 0 to 3; got 'jet'"),
        ),
        laws=frozenset({"non_conflicting", "pareto"}),
    ),
]
