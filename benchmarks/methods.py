"""The methods that a command line chooses."""

from collections.abc import Sequence

from maskformer_jax.errors import InputError
from maskformer_jax.weighting import METHODS


def chosen(names: Sequence[str] | None) -> list[str]:
    """The given names, each once, or all methods.

    Raises:
        InputError: a name is unknown.
    """
    unknown = sorted(set(names or ()) - set(METHODS))
    if unknown:
        raise InputError(f"`--methods`: no {', '.join(unknown)}; known: {', '.join(METHODS)}")
    return list(dict.fromkeys(names or METHODS))
