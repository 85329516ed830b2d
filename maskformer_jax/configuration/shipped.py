"""The configurations that come with the package, by name: `gn2`, `weighting/cagrad`."""

import difflib
from pathlib import Path

from maskformer_jax.errors import InputError

# In the package where it is installed; beside it in a clone.
_PLACES = [Path(__file__).parents[number] / "configs" for number in (1, 2)]
FOLDER = next((place for place in _PLACES if place.is_dir()), _PLACES[0])


def path_of(name: str) -> Path:
    """Where a shipped configuration lies, if there is one of that name."""
    return FOLDER / f"{name}.yaml"


def find(name: str) -> Path:
    """The file of that name, or else the shipped configuration.

    Args:
        name: a file, or a shipped configuration: `gn2`, which may be written `configs/gn2.yaml`.

    Raises:
        InputError: there is neither; the message suggests the nearest.
    """
    short = name.removeprefix(f"{FOLDER.name}/").removesuffix(".yaml")
    for path in (Path(name), path_of(short)):
        if path.is_file():
            return path
    if Path(name).is_dir():
        files = sorted(path.name for path in Path(name).glob("*.yaml"))
        inside = ", ".join(files[:10]) + (", ..." if len(files) > 10 else "")
        raise InputError(f"{name}: a folder, not a file; files in it: {inside or 'none'}")
    names = [str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml")]
    # A name without its folder is near, too.
    forms = {path: path for path in names} | {Path(path).name: path for path in names}
    near = difflib.get_close_matches(short, forms, 1)
    hint = f"; did you mean `{forms[near[0]]}`?" if near else ""
    problem = "not a file" if Path(name).exists() else "no such file"
    raise InputError(f"{name}: {problem}, and no shipped configuration{hint}")
