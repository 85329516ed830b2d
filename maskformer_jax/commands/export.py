"""`maskformer export --run RUN --format onnx|stablehlo --output FILE`."""

import sys
from pathlib import Path

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.program import call_of


def main(argv: list[str]) -> int:
    """Exports as the command line says and prints what was compared; the exit code."""
    given = _parser().parse_args(argv)
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.export.run import Options, export_run
    from maskformer_jax.training.compilation import use_cache

    use_cache()
    options = Options(
        name=given.name,
        tasks=given.tasks,
        rename=given.rename,
        track_selection=given.track_selection,
        batched=given.batched,
    )
    *warnings, found = export_run(given.run, given.output, given.format, options)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{given.output}: {found}")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("export"),
        description="Write a run's best checkpoint for other programs: raw fields in, "
        "probabilities out. It is compared with JAX before it is written.",
        epilog="docs/export.md lists inputs and outputs.",
    )
    add = parser.add_argument
    add("--run", type=Path, required=True, help="folder of a training run")
    formats = "onnx: for onnxruntime, as Athena reads it; stablehlo: for jax.export and XLA"
    add("--format", choices=("onnx", "stablehlo"), default="onnx", help=formats)
    add("--output", type=Path, required=True, help="the file; none is replaced")
    add("--name", help="of the model in the outputs, letters and digits; default: the run's")
    add("--tasks", nargs="+", default=[], metavar="TASK", help="outputs of these; default: all")
    renames = "new names of outputs, without that of the model: pb=pbottom"
    add("--rename", nargs="+", default=[], metavar="OLD=NEW", help=renames)
    selection = "of Athena: ip3d, r22default, r22loose, ...; default: %(default)s"
    add("--track_selection", default="r22default", help=selection)
    batched = "a function of many padded jets, with the logits of all tasks, rather than of one jet"
    add("--batched", action="store_true", help=batched)
    return parser
