"""Methods whose weights are given by the Gramian in a few steps."""

from rows import Row

NAN = float("nan")
BAD_SEEDS = tuple(
    ({"seed": seed}, r"`seed` must be an integer from 0") for seed in (-1, 2**32, 1.5, True, "1")
)
BAD_PREFERENCES = (
    ({"preference": [1.0, 2.0]}, r"`preference` must hold 4 finite values.*2.0"),
    ({"preference": [1.0, 1.0, 1.0, 0.0]}, r"`preference` must hold positive.*0.0"),
    ({"preference": [1.0, 1.0, 1.0, NAN]}, r"`preference` must hold 4 finite values.*nan"),
    ({"preference": 1.0}, r"`preference` must hold 4 finite values.*1.0"),
    ({"preference": "ones"}, r"`preference` must hold 4 finite values.*'ones'"),
)

ROWS = [
    Row(
        "aligned_mtl",
        "gramian",
        lambda k: {"preference": [1.0, 0.5, 2.0, 3.0][:k], "scale": "median"},
        wrong=(
            *BAD_PREFERENCES,
            ({"scale": "max"}, r"`scale` must be one of .*'min'.*'max'"),
            ({"scale": None}, r"`scale` must be one of .*None"),
        ),
        laws=frozenset({"permutation", "homogeneous", "pareto"}),
    ),
    Row("pcgrad", "gramian", wrong=BAD_SEEDS, laws=frozenset({"homogeneous", "pareto"})),
    Row(
        "gradvac",
        "gramian",
        lambda k: {"beta": 0.5},
        wrong=(
            *BAD_SEEDS,
            ({"beta": -0.1}, r"`beta` must be a number from 0 to 1; got -0.1"),
            ({"beta": 1.1}, r"`beta` must .*1.1"),
            ({"beta": NAN}, r"`beta` must .*nan"),
            ({"beta": "half"}, r"`beta` must .*'half'"),
        ),
        laws=frozenset({"homogeneous"}),
    ),
    Row(
        "imtl_g",
        "gramian",
        wrong=BAD_PREFERENCES,
        laws=frozenset({"permutation", "homogeneous", "pareto"}),
    ),
    Row(
        "config",
        "gramian",
        lambda k: {"preference": [1.0, 0.5, 2.0, 3.0][:k]},
        wrong=BAD_PREFERENCES,
        laws=frozenset({"permutation", "homogeneous", "non_conflicting", "pareto"}),
    ),
    Row(
        "krum",
        "gramian",
        lambda k: {"n_byzantine": 0, "n_selected": 2},
        wrong=(
            ({"n_byzantine": 2}, r"`n_byzantine` must be an integer from 0 to 1; got 2"),
            ({"n_byzantine": -1}, r"`n_byzantine` must .*-1"),
            ({"n_byzantine": 0.5}, r"`n_byzantine` must .*0.5"),
            ({"n_byzantine": None}, r"`n_byzantine` must .*None"),
            ({"n_selected": 0}, r"`n_selected` must be an integer from 1 to 4; got 0"),
            ({"n_selected": 5}, r"`n_selected` must .*5"),
        ),
        fewest=3,
        laws=frozenset({"permutation", "homogeneous"}),
    ),
    Row(
        "cr_mogm",
        "gramian",
        lambda k: {"base": "config", "base_options": {"preference": [1.0, 0.5, 2.0, 3.0][:k]}},
        wrong=(
            ({"base": "no_such"}, r"`base` must be one of .*config.*'no_such'"),
            ({"base": "equal"}, r"`base` must be one of .*'equal'"),
            ({"base": "cr_mogm"}, r"`base` must be one of .*'cr_mogm'"),
            ({"base": None}, r"`base` must .*None"),
            ({"base": ["config"]}, r"`base` must .*\['config'\]"),
            ({"base_options": {"preference": [1.0]}}, r"`preference` must hold 4 finite values"),
            ({"base_options": [1.0]}, r"`base_options` must map .*1.0"),
            ({"a": 1.0}, r"`a` must be a number from 0 to below 1; got 1.0"),
            ({"a": -0.1}, r"`a` must .*-0.1"),
            ({"a": "much"}, r"`a` must .*'much'"),
        ),
        laws=frozenset({"homogeneous", "non_conflicting"}),
    ),
]
