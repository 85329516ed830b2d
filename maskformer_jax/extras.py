"""What must be installed beside the core for each part, said where a part is imported.

`pip install maskformer_jax` brings jax, optax and jaxtyping, which `weighting` and
`gradients` need; `pip install 'maskformer_jax[train]'` and other extras of pyproject.toml the rest.
"""

import importlib.util
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

_TRAIN = (
    "absl",
    "tensorstore",
    "flax",
    "grain",
    "h5py",
    "numpy",
    "orbax",
    "tensorboardX",
    "tqdm",
    "yaml",
)
# Extra -> what it lets one import.
MODULES = {
    "train": _TRAIN,
    "evaluate": (
        *(*_TRAIN, "PIL", "ftag", "jinja2", "markupsafe", "matplotlib", "pandas", "puma"),
        *("scipy", "sklearn", "tabulate"),
    ),
    "export": (*_TRAIN, "onnx", "onnxruntime", "flatbuffers"),
    "simulate": (*_TRAIN, "awkward", "fastjet", "matplotlib", "pythia8mc", "vector"),
}
# Extra -> parts of the package that can't do without.
PARTS = {
    "train": (
        *(
            "build",
            "commands.convert_salt",
            "commands.schema",
            "commands.train",
            "config",
            "configuration",
            "data",
        ),
        *("evaluation", "experiment", "model", "optimisers", "progress", "salt", "tasks"),
        "training",
    ),
    "evaluate": (
        *("commands.evaluate", "commands.redraw", "commands.study", "evaluation.plots"),
        *("evaluation.run", "inference", "study"),
    ),
    "export": ("export",),
    "simulate": ("commands.simulate", "simulation"),
}


class MissingExtra(ModuleNotFoundError):
    """A part of the package is imported whose extra is not installed; one line says which."""


class PartFinder(MetaPathFinder):
    """Finds no module: it looks whether a part of this package has what it needs."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Leaves the search to the other finders.

        Raises:
            MissingExtra: the part needs an extra that is not installed.
        """
        package, _, part = fullname.partition(".")
        extra = next((extra for extra, parts in PARTS.items() if part in parts), None)
        if package != __package__ or extra is None:
            return
        missing = [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingExtra(
                f"{fullname} needs {', '.join(missing)}: pip install '{__package__}[{extra}]'",
                name=missing[0],
            )
