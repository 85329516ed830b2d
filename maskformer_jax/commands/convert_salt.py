"""`maskformer convert-salt --checkpoint C.ckpt --config config.yaml --output_dir RUN`."""

from pathlib import Path

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.errors import InputError
from maskformer_jax.program import call_of


def main(argv: list[str]) -> int:
    """Converts as the command line says; the exit code."""
    options = _parser().parse_args(argv)
    classes = {}
    for word in options.classes:
        task, _, listed = word.partition("=")
        if not task or not all(listed.split(",")):
            raise InputError(f"`--classes` must be TASK=A,B,...; got {word!r}")
        classes[task] = listed.split(",")
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.salt.convert import best_of, convert

    checkpoint, config = options.checkpoint, options.config
    if options.run is not None:
        best, saved = (None, options.run / "config.yaml") if checkpoint else best_of(options.run)
        checkpoint, config = checkpoint or best, config or saved
    if checkpoint is None:
        raise InputError("`--checkpoint` or `--run` must be given; got neither")
    notes = convert(checkpoint, config or _beside(checkpoint), options.output_dir, classes)
    for note in notes:
        print(f"not carried over: {note}")
    run = options.output_dir
    print(f"{checkpoint} is in {run}; evaluate it with: {call_of('evaluate')} --run {run} "
          "--test_file FILE")  # fmt: skip
    return 0


def _beside(checkpoint: Path) -> Path:
    """Salt's configuration, in the folder of the checkpoint or above it."""
    folders = (checkpoint.parent, checkpoint.absolute().parent.parent)
    there = [folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()]
    if not there:
        raise InputError(f"`--config` must be given: there is no config.yaml beside {checkpoint}")
    return there[0]


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("convert-salt"),
        description="Make a run folder of a checkpoint of Salt, for `evaluate`, for `export`, and "
        "to go on from with `train --init_from`.",
        epilog="docs/salt.md says what is converted.",
    )
    add = parser.add_argument
    add("--checkpoint", type=Path, help="of Salt; default: the best of --run")
    add("--config", type=Path, help="its YAML file; default: config.yaml beside the checkpoint")
    add("--run", type=Path, metavar="SALT_RUN", help="folder of a training with Salt")
    add("--output_dir", type=Path, required=True, help="the run folder, which is not there yet")
    names = "names of a task's classes, in order; once for each task that has none in its YAML file"
    add("--classes", action="append", default=[], metavar="TASK=A,B,...", help=names)
    return parser
