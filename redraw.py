"""Draws the pictures of evaluated runs again: `python redraw.py` is `maskformer redraw`."""

import sys

from maskformer_jax.__main__ import main as maskformer
from maskformer_jax.__main__ import run


def main(argv: list[str]) -> int:
    """Does what the words after the script's name say; the exit code."""
    return maskformer(["redraw", *argv])


if __name__ == "__main__":
    sys.exit(run("redraw"))
