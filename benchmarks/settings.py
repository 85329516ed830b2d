"""Options with which methods are measured, and what they are compared with where others have it.

Imports neither JAX nor PyTorch: both sides of a comparison read this file.
"""

from typing import Any

# Trainings of Salt's network.
SALT = ("Salt", "Salt, flash attention", "Salt, TorchJD CAGrad")
# Label -> options for K tasks; a label is a method's name, or name:variant. Methods that are not
# here have their defaults.
OPTIONS = {
    "static": lambda k: {"weights": static_weights(k)},
    "uw": lambda k: {"init": 0.0},
    "stch": lambda k: {"mu": 0.5, "preference": [1.0 / k] * k},
    "dwa": lambda k: {"steps_per_epoch": 1},
    "gradvac": lambda k: {"beta": 0.5},
    "aligned_mtl:median": lambda k: {"scale": "median"},
    "aligned_mtl:rmse": lambda k: {"scale": "rmse"},
    "cagrad:1": lambda k: {"c": 1.0},
    "fairgrad:2": lambda k: {"alpha": 2.0},
    "krum": lambda k: {"n_byzantine": 1},
    "krum:2": lambda k: {"n_byzantine": 1, "n_selected": 2},
    "trimmed_mean": lambda k: {"trim": 1},
    "cosmos": lambda k: {"lam": 0.5},
    "cr_mogm": lambda k: {"base": "upgrad"},
}


def static_weights(num_tasks: int) -> list[float]:
    """1, 2, 3, 1, 2, 3, ..."""
    return [1.0 + number % 3 for number in range(num_tasks)]


def options(label: str, num_tasks: int) -> dict[str, Any]:
    """Options of the method for `num_tasks` tasks."""
    return OPTIONS[label](num_tasks) if label in OPTIONS else {}
