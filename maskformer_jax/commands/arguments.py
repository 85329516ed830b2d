"""Options of the command lines that are not read from dataclasses."""

import argparse
from typing import Any, NoReturn

from maskformer_jax.errors import InputError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that refuses abbreviations, and everything wrong in one line."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Raises InputError with the message."""
        raise InputError(message)
