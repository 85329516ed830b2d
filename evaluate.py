"""Evaluates a training run on a test file.

python evaluate.py --run RUN --test_file FILE [--output_dir FOLDER] [--evaluation.FIELD VALUE ...]
"""

import argparse
import sys
from pathlib import Path

from maskformer_jax.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Parses the command line, evaluates, prints the table; the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(
        description="Write predictions.h5, metrics.json and plots of a run's best checkpoint.",
        epilog="Any other option overrides the configuration of the run: "
        "--evaluation.working_points '[0.7, 0.8]'.",
        allow_abbrev=False,
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of a training run")
    parser.add_argument("--test_file", type=Path, required=True, help="HDF5 file of jets")
    parser.add_argument(
        "--output_dir", type=Path, help="where the results go; default: RUN/evaluation"
    )
    parser.add_argument(
        "--charm_fraction", metavar="F", help="f_c of D_b; short for --evaluation.charm_fraction"
    )
    options, overrides = parser.parse_known_args(argv)
    if options.charm_fraction is not None:
        overrides.append(f"--evaluation.charm_fraction={options.charm_fraction}")
    try:
        # Slow imports, after the command line is known to be right.
        from maskformer_jax.evaluation.run import evaluate
        from maskformer_jax.training.compilation import use_cache

        use_cache()
        print(evaluate(options.run, options.test_file, options.output_dir, overrides))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
