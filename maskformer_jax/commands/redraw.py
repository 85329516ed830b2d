"""`maskformer redraw RUN [RUN ...] [--plot.sample TEXT ...]`."""

from pathlib import Path

from maskformer_jax import configuration
from maskformer_jax.commands.arguments import Parser, Pictures
from maskformer_jax.errors import check
from maskformer_jax.program import call_of


def main(argv: list[str]) -> int:
    """Draws as the command line says and prints where; the exit code."""
    options, overrides = _parser().parse_known_args(argv)
    number = len(options.run)
    check(len(options.label) in (0, number), "--label", f"be given {number} times", options.label)
    saved, chosen = options.run[0] / "config.yaml", []
    if saved.is_file():
        chosen = [("plot", configuration.read_file(saved).get("plot"))]
    look = configuration.load(overrides, Pictures, overrides=chosen).plot
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.evaluation.plots import redraw

    files = redraw(options.run, look, options.output_dir, options.label)
    print(f"{len(files)} pictures in {files[0].parent}" if files else "there is nothing to draw")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("redraw"),
        description="Draw all pictures again, from the results of `evaluate` and the log of the "
        "training; of several runs those that compare them.",
        epilog="--plot.experiment TEXT and --plot.sample TEXT stand above every picture; "
        "--plot.formats '[png, pdf, svg]' chooses the files.",
    )
    add = parser.add_argument
    add("run", type=Path, nargs="+", help="folder of an evaluated run, or of its results")
    add("--label", action="append", default=[], help="of each run")
    add("--output_dir", type=Path, help="where the pictures go; default: beside the results")
    return parser
