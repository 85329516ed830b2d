"""`maskformer train --config FILE [--section.field=value ...]`, or `--resume RUN`."""

from maskformer_jax import config as configuration
from maskformer_jax.program import Stopped, call_of
from maskformer_jax.training.run_folder import RESUMED, load_resumed

RESUME, INIT_FROM = "--resume", "--init_from"


def main(argv: list[str]) -> int:
    """Trains as the command line says; the exit code."""
    argv = [part for word in argv for part in _parts(word)]
    argv = [f"--training.{INIT_FROM[2:]}" if word == INIT_FROM else word for word in argv]
    resume = RESUME in argv
    if resume:
        config = load_resumed(argv)
    else:
        text = f"continues a run, in which may change: {', '.join(RESUMED)}"
        words = {f"{RESUME} RUN": text, f"{INIT_FROM} RUN": "as --training.init_from RUN"}
        config = configuration.load(argv, "Trains a model, or continues a run.", words=words)
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.experiment import train

    outcome, run = train(config, resume=resume), config.output_dir
    if not outcome.finished:
        again = f"{call_of('train')} {RESUME} {run}"
        raise Stopped(outcome.signal, f" at step {outcome.step}; continue with: {again}")
    next_one = f"{call_of('evaluate')} --run {run} --test_file FILE"
    print(f"{outcome.step} steps; evaluate with: {next_one}")
    return 0


def _parts(word: str) -> list[str]:
    """`--resume=RUN` in two words, as others expect it."""
    return word.split("=", 1) if word.startswith((f"{RESUME}=", f"{INIT_FROM}=")) else [word]
