"""Methods that need the losses alone."""

from rows import Row

NAN = float("nan")
EQUIVARIANT = frozenset({"linear", "permutation", "homogeneous"})

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
    Row(
        "gls",
        "loss",
        wrong=(
            ({"eps": 0.0}, r"`eps` must be a positive number; got 0.0"),
            ({"eps": "1e-8"}, r"`eps` must be a positive number; got '1e-8'"),
            ({"focus": []}, r"`focus` must list different tasks.*0 to 3; got \[\]"),
            ({"focus": [4]}, r"`focus` must list different tasks.*got \[4\]"),
            ({"focus": [1, 1]}, r"`focus` must list different tasks.*got \[1, 1\]"),
            ({"focus": [True]}, r"`focus` must list different tasks.*got \[True\]"),
            ({"focus": 2}, r"`focus` must list different tasks.*got 2"),
            ({"focus": "0"}, r"`focus` must list different tasks.*got '0'"),
        ),
        laws=EQUIVARIANT,
    ),
    Row(
        "rlw",
        "loss",
        wrong=(
            ({"distribution": "gamma"}, r"`distribution` must be one of .*got 'gamma'"),
            ({"distribution": ["normal"]}, r"`distribution` must be one of .*got \['normal'\]"),
            ({"seed": -1}, r"`seed` must be an integer from 0 to 4294967295; got -1"),
            ({"seed": 2**32}, r"`seed` must be an integer from 0 .*got 4294967296"),
            ({"seed": 1.0}, r"`seed` must be an integer from 0 .*got 1.0"),
            ({"seed": None}, r"`seed` must be an integer from 0 .*got None"),
        ),
        laws=frozenset({"linear", "homogeneous"}),
    ),
    Row(
        "random",
        "loss",
        wrong=(({"seed": True}, r"`seed` must be an integer from 0 .*got True"),),
        laws=frozenset({"linear", "homogeneous"}),
    ),
    Row(
        "uw",
        "loss",
        wrong=(
            ({"init": None}, r"`init` must be a finite number; got None"),
            ({"init": NAN}, r"`init` must be a finite number; got nan"),
            ({"optimiser": "adam"}, r"`optimiser` must be an optax.GradientTrans.*got 'adam'"),
        ),
        alone=0.824360635,
        laws=EQUIVARIANT,
    ),
    Row(
        "stch",
        "loss",
        lambda k: {"preference": [1.0, 2.0, 0.5, 3.0][:k]},
        wrong=(
            ({"mu": 0.0}, r"`mu` must be a positive number; got 0.0"),
            ({"mu": None}, r"`mu` must be a positive number; got None"),
            ({"preference": [1.0, 1.0]}, r"`preference` must hold 4 finite values"),
            ({"preference": [1.0, 1.0, 1.0, 0.0]}, r"`preference` must hold positive values"),
            ({"reference": "min"}, r"`reference` must be one of .*got 'min'"),
            ({"reference": ["max"]}, r"`reference` must be one of .*got \['max'\]"),
            ({"log_losses": 1}, r"`log_losses` must be true or false; got 1"),
            ({"warmup_epochs": -1}, r"`warmup_epochs` must be an integer from 0 .*got -1"),
            ({"warmup_epochs": 0.5}, r"`warmup_epochs` must be an integer from 0 .*got 0.5"),
            ({"reference": "nadir"}, r"`steps_per_epoch` must be an integer from 1 .*got None"),
        ),
        laws=EQUIVARIANT,
    ),
    Row(
        "famo",
        "loss",
        lambda k: {"min_losses": [0.0, 0.05, 0.1, 0.0][:k]},
        wrong=(
            ({"learning_rate": 0.0}, r"`learning_rate` must be a positive number; got 0.0"),
            ({"learning_rate": "fast"}, r"`learning_rate` must be a positive .*got 'fast'"),
            ({"decay": -0.1}, r"`decay` must be a number from 0; got -0.1"),
            ({"decay": NAN}, r"`decay` must be a number from 0; got nan"),
            ({"eps": 0}, r"`eps` must be a positive number; got 0"),
            ({"min_losses": [0.0]}, r"`min_losses` must hold 4 finite values.*got \[0.0\]"),
            ({"min_losses": None}, r"`min_losses` must hold 4 finite values.*got None"),
            ({"second_forward": "no"}, r"`second_forward` must be true or false; got 'no'"),
        ),
        laws=EQUIVARIANT,
    ),
    Row(
        "dwa",
        "loss",
        lambda k: {"steps_per_epoch": 1},
        wrong=(
            ({"temperature": 0.0}, r"`temperature` must be a positive number; got 0.0"),
            ({"temperature": "2"}, r"`temperature` must be a positive number; got '2'"),
            ({"steps_per_epoch": None}, r"`steps_per_epoch` must be an integer .*got None"),
            ({"steps_per_epoch": 0}, r"`steps_per_epoch` must be an integer from 1 .*got 0"),
            ({"steps_per_epoch": 2.5}, r"`steps_per_epoch` must be an integer from 1 .*got 2.5"),
        ),
        laws=EQUIVARIANT,
    ),
    Row(
        "imtl_l",
        "loss",
        wrong=(
            ({"init": "0"}, r"`init` must be a finite number; got '0'"),
            ({"init": True}, r"`init` must be a finite number; got True"),
            ({"optimiser": 1e-3}, r"`optimiser` must be an optax.GradientTrans.*got 0.001"),
        ),
        laws=EQUIVARIANT,
    ),
    Row(
        "cosmos",
        "loss",
        lambda k: {"lam": 0.7, "weights": [0.4, 0.0, 0.1, 0.3][:k]},
        wrong=(
            ({"lam": -1.0}, r"`lam` must be a number from 0; got -1.0"),
            ({"lam": None}, r"`lam` must be a number from 0; got None"),
            ({"weights": [1.0]}, r"`weights` must hold 4 finite values"),
            ({"weights": [0.0] * 4}, r"`weights` must hold .* not all zero; got \[0.0"),
            ({"weights": [1.0, 1.0, 1.0, -1.0]}, r"`weights` must hold .* not negative.*-1.0"),
        ),
        alone=0.4,
        laws=EQUIVARIANT,
    ),
    Row(
        "pbi",
        "loss",
        lambda k: {"weights": [0.4, 0.0, 0.1, 0.3][:k], "reference": [0.1, 0.0, 0.2, 0.3][:k]},
        wrong=(
            ({"theta": -5}, r"`theta` must be a number from 0; got -5"),
            ({"theta": False}, r"`theta` must be a number from 0; got False"),
            ({"weights": "1111"}, r"`weights` must hold 4 finite values.*got '1111'"),
            ({"weights": [0.0] * 4}, r"`weights` must hold .* not all zero; got \[0.0"),
            ({"reference": [0.0]}, r"`reference` must hold 4 finite values"),
            ({"reference": NAN}, r"`reference` must hold 4 finite values.*got nan"),
        ),
        laws=EQUIVARIANT,
    ),
]
