"""Options of the command lines that are not read from dataclasses."""

import argparse
from dataclasses import dataclass, field
from typing import Any, NoReturn

from maskformer_jax.canvas import PlotConfig
from maskformer_jax.errors import InputError, nearest


@dataclass(frozen=True)
class Pictures:
    """What of a configuration pictures need.

    Attributes:
        plot: what all pictures have in common.
    """

    plot: PlotConfig = field(default_factory=PlotConfig)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that refuses abbreviations, and everything wrong in one line."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of the parent; what is missing may have been written wrong."""
        try:
            return super().parse_known_args(args, namespace)
        except InputError as error:
            own = self._option_string_actions
            given = [word.partition("=")[0] for word in args or () if word.startswith("--")]
            hints = [nearest(name, own) for name in given if name not in own and "." not in name]
            hint = next(filter(None, hints), "") if "did you mean" not in str(error) else ""
            raise InputError(f"{error}{hint}") from error

    def error(self, message: str) -> NoReturn:
        """Raises InputError with the message."""
        raise InputError(message)
