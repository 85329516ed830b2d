"""Methods that need the task gradients themselves."""

from rows import Row, losses

NAN = float("nan")

ROWS = [
    Row(
        "gradnorm",
        "gradient",
        wrong=(
            ({"alpha": -0.1}, r"`alpha` must be a number of at least 0; got -0.1"),
            ({"alpha": "1.5"}, r"`alpha` must be a number of at least 0; got '1.5'"),
            ({"learning_rate": 0.0}, r"`learning_rate` must be a positive number; got 0.0"),
            ({"learning_rate": None}, r"`learning_rate` must be a positive number; got None"),
            ({"norm_params": "head"}, r"`norm_params` must be a function.*'head'"),
            ({"initial": "epoch"}, r"`initial` must be one of .*'epoch'"),
            ({"initial": ["first_step"]}, r"`initial` must be one of .*first_step"),
            ({"initial": "first_epoch"}, r"`steps_per_epoch` must be an integer from 1 .*None"),
            ({"initial": "first_epoch", "steps_per_epoch": 0}, r"`steps_per_epoch` must .* got 0"),
            ({"preference": [1.0, 1.0, 1.0, 0.0]}, r"`preference` must hold positive"),
        ),
        laws=frozenset({"linear", "permutation", "homogeneous"}),
    ),
    Row(
        "graddrop",
        "gradient",
        lambda k: {"leak": [0.0, 0.3, 1.0, 0.5][:k]},
        wrong=(
            ({"leak": 1.1}, r"`leak` must lie between 0 and 1; got 1.1"),
            ({"leak": [0.0, 0.0, 0.0, -0.1]}, r"`leak` must lie between 0 and 1.*-0.1"),
            ({"leak": [0.5]}, r"`leak` must hold 4 finite values"),
            ({"leak": NAN}, r"`leak` must hold 4 finite values.*nan"),
            ({"leak": True}, r"`leak` must hold 4 finite values"),
            ({"seed": -1}, r"`seed` must be an integer from 0 .* got -1"),
            ({"seed": 0.5}, r"`seed` must be an integer from 0 .* got 0.5"),
        ),
        laws=frozenset({"permutation", "homogeneous"}),
    ),
    Row(
        "db_mtl",
        "gradient",
        lambda k: {"preference": [1.0, 2.0, 0.5, 3.0][:k]},
        wrong=(
            ({"beta": 1.0}, r"`beta` must be a number from 0 to below 1; got 1.0"),
            ({"beta": -0.1}, r"`beta` must be a number from 0 to below 1; got -0.1"),
            ({"beta": "0.9"}, r"`beta` must be a number from 0 to below 1; got '0.9'"),
            ({"sigma": -1.0}, r"`sigma` must be a number of at least 0; got -1.0"),
            ({"sigma": NAN}, r"`sigma` must be a number of at least 0; got nan"),
            ({"preference": [1.0]}, r"`preference` must hold 4 finite values"),
        ),
        alone=0.1 / float(losses(1)[0]),
        laws=frozenset({"permutation"}),
    ),
    Row(
        "excess_mtl",
        "gradient",
        wrong=(
            ({"step_size": 0.0}, r"`step_size` must be a positive number; got 0.0"),
            ({"step_size": None}, r"`step_size` must be a positive number; got None"),
            ({"warmup_steps": -1}, r"`warmup_steps` must be an integer from 0 .* got -1"),
            ({"warmup_steps": 1.5}, r"`warmup_steps` must be an integer from 0 .* got 1.5"),
        ),
        laws=frozenset({"permutation"}),
    ),
    Row(
        "sdmgrad",
        "gradient",
        lambda k: {"preference": [0.1, 0.2, 0.3, 0.4][:k] if k > 1 else [1.0]},
        wrong=(
            ({"lam": -0.1}, r"`lam` must be a number of at least 0; got -0.1"),
            ({"lam": "0.3"}, r"`lam` must be a number of at least 0; got '0.3'"),
            ({"lr": 0}, r"`lr` must be a positive number; got 0"),
            ({"lr": NAN}, r"`lr` must be a positive number; got nan"),
            ({"momentum": 1.0}, r"`momentum` must be a number from 0 to below 1; got 1.0"),
            ({"momentum": None}, r"`momentum` must be a number from 0 to below 1; got None"),
            ({"n_iter": 0}, r"`n_iter` must be an integer from 1 .* got 0"),
            ({"n_iter": 2.0}, r"`n_iter` must be an integer from 1 .* got 2.0"),
            ({"preference": [1.0, 1.0, 1.0, -1.0]}, r"`preference` must hold positive"),
        ),
        alone=2.0,
        laws=frozenset({"permutation"}),
    ),
    Row(
        "modo",
        "gradient",
        wrong=(
            ({"gamma": -0.1}, r"`gamma` must be a number of at least 0; got -0.1"),
            ({"gamma": "0.1"}, r"`gamma` must be a number of at least 0; got '0.1'"),
            ({"rho": -0.1}, r"`rho` must be a number of at least 0; got -0.1"),
            ({"rho": None}, r"`rho` must be a number of at least 0; got None"),
        ),
        alone=2.0,
        laws=frozenset({"permutation"}),
    ),
    Row(
        "moco",
        "gradient",
        wrong=(
            ({"variant": "torch"}, r"`variant` must be one of .*'torch'"),
            ({"variant": None}, r"`variant` must be one of .*None"),
            ({"variant": {}}, r"`variant` must be one of .*{}"),
            ({"beta": 0.0}, r"`beta` must be above 0 and at most 1; got 0.0"),
            ({"beta": 1.5}, r"`beta` must be above 0 and at most 1; got 1.5"),
            ({"gamma": -1.0}, r"`gamma` must be a number of at least 0; got -1.0"),
            ({"gamma": "0.1"}, r"`gamma` must be a number of at least 0; got '0.1'"),
            ({"rho": NAN}, r"`rho` must be a number of at least 0; got nan"),
        ),
        alone=0.1,
        laws=frozenset({"permutation"}),
    ),
    Row(
        "trimmed_mean",
        "gradient",
        lambda k: {"trim": (k - 1) // 2},
        wrong=(
            ({"trim": 2}, r"`trim` must be .* 2 `trim` \+ 1 <= 4.* got 2"),
            ({"trim": -1}, r"`trim` must be an integer of at least 0 .* got -1"),
            ({"trim": "1"}, r"`trim` must be an integer of at least 0 .* got '1'"),
            ({"trim": True}, r"`trim` must be an integer of at least 0 .* got True"),
        ),
        laws=frozenset({"permutation", "homogeneous"}),
    ),
]
