"""Evaluates a training run on a test file.

python evaluate.py --run RUN [--run RUN ...] --test_file FILE [--output_dir FOLDER]
    [--evaluation.FIELD VALUE ...]
"""

import argparse
import sys
from pathlib import Path

from maskformer_jax.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Parses the command line, evaluates, prints the table; the exit code, 2 for wrong input."""
    parser = argparse.ArgumentParser(
        description="Write predictions, metrics, tables and plots of a run's best checkpoint; of "
        "several runs also all of it side by side.",
        epilog="Any other option overrides the configuration of the runs: "
        "--evaluation.discriminants.b.backgrounds '{cjets: 0.2, ujets: 0.8}' sets f_c. Jets are "
        "drawn by --evaluation.display.first 4 or --evaluation.display.jets '[0, 17]'.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    runs = "folder of a training run; several times: compare with the first"
    add("--run", type=Path, required=True, action="append", help=runs)
    add("--label", action="append", default=[], help="of each run in plots and tables")
    add("--test_file", type=Path, required=True, help="HDF5 file of jets")
    add(
        "--output_dir",
        type=Path,
        help="where the results go; default: RUN/evaluation, and the comparison in "
        "evaluation/comparison of the first run; results of another test file are not replaced",
    )
    options, overrides = parser.parse_known_args(argv)
    try:
        # Slow imports, after the command line is known to be right.
        from maskformer_jax.evaluation.comparison import evaluate_runs
        from maskformer_jax.training.compilation import use_cache

        use_cache()
        print(
            evaluate_runs(
                options.run, options.test_file, options.output_dir, overrides, options.label
            )
        )
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
