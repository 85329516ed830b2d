"""Simulates jets in the layout that training reads, or looks at a file of them.

python simulate.py --config configs/simulation/ttbar.yaml --jets 150000 --output_dir data/ttbar
python simulate.py inspect FILE [--compare FILE] [--output_dir FOLDER]
"""

import argparse
import sys
from pathlib import Path

from maskformer_jax import configuration
from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import SimulationConfig

INSPECT = "inspect"


def simulate(argv: list[str]) -> None:
    """Makes the files of a configuration and says where they are."""
    text = "Simulates jets with Pythia; `simulate.py inspect FILE` looks at a file of them."
    config = configuration.load(argv, SimulationConfig, text)
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.simulation.production import produce

    for path in produce(config):
        print(f"{path}; look at it with: python simulate.py {INSPECT} {path}")


def inspect(argv: list[str]) -> None:
    """Prints what is in a file and draws its inputs."""
    parser = argparse.ArgumentParser(prog=f"simulate.py {INSPECT}", description=inspect.__doc__)
    parser.add_argument("file", type=Path, help="HDF5 file in the default layout")
    parser.add_argument("--compare", type=Path, help="another one, drawn as a dashed line")
    parser.add_argument(
        "--output_dir", type=Path, help="where plots go; default: FILE_inspection beside it"
    )
    options = parser.parse_args(argv)
    from maskformer_jax.simulation.inspection import inspect_file

    folder = options.output_dir or options.file.parent / f"{options.file.stem}_inspection"
    print(inspect_file(options.file, options.compare, folder))


def main(argv: list[str]) -> int:
    """Does what the command line says; the exit code, 2 for wrong input, 130 after Ctrl-C."""
    try:
        inspect(argv[1:]) if argv[:1] == [INSPECT] else simulate(argv)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
