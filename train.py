"""Trains a MaskFormer: `python train.py --config FILE [--section.field=value ...]`, or continues
an interrupted run: `python train.py --resume RUN`."""

import sys
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.errors import InputError
from maskformer_jax.training.run_folder import load_resumed


def main(argv: list[str]) -> int:
    """Trains as the command line says; the exit code, 2 for wrong input, 1 for a bad number."""
    try:
        resume = "--resume" in argv
        if resume:
            config = load_resumed(argv)
        else:
            text = "Trains a MaskFormer; --resume RUN continues a run."
            config = configuration.load(argv, text)
        # Slow imports, after the command line is known to be right.
        from maskformer_jax.experiment import train

        outcome = train(config, resume=resume)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run = Path(config.output_dir)
    if not outcome.finished:
        print(f"stopped at step {outcome.step}; continue with: python train.py --resume {run}")
        return 128 + outcome.signal
    print(f"{outcome.step} steps; evaluate with: python evaluate.py --run {run} --test_file FILE")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
