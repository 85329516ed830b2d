"""`maskformer simulate --config FILE --jets N --output_dir DIR`, or `simulate inspect FILE`."""

from pathlib import Path

from maskformer_jax import configuration
from maskformer_jax.commands.arguments import Parser, Pictures
from maskformer_jax.program import call_of, stopped_by_signals
from maskformer_jax.simulation.config import SimulationConfig

INSPECT = "inspect"


def main(argv: list[str]) -> int:
    """Simulates, or looks at a file, as the command line says; the exit code."""
    _inspect(argv[1:]) if argv[:1] == [INSPECT] else _simulate(argv)
    return 0


def _simulate(argv: list[str]) -> None:
    text = f"Simulates jets with Pythia; `{INSPECT} FILE` looks at a file of them."
    config = configuration.load(argv, SimulationConfig, text)
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.simulation.production import produce

    with stopped_by_signals():
        files = produce(config)
    for path in files:
        print(f"{path}; look at it with: {call_of('simulate')} {INSPECT} {path}")


def _inspect(argv: list[str]) -> None:
    text = "Prints what is in a file and draws its inputs."
    more = "--plot.formats '[png, pdf, svg]' chooses the files, --plot.sample TEXT stands above."
    parser = Parser(prog=f"{call_of('simulate')} {INSPECT}", description=text, epilog=more)
    parser.add_argument("file", type=Path, help="HDF5 file in the default layout")
    parser.add_argument("--compare", type=Path, help="another one, drawn as a dashed line")
    parser.add_argument(
        "--output_dir", type=Path, help="where plots go; default: FILE_inspection beside it"
    )
    options, overrides = parser.parse_known_args(argv)
    look = configuration.load(overrides, Pictures).plot
    from maskformer_jax.simulation.inspection import inspect_file

    folder = options.output_dir or options.file.parent / f"{options.file.stem}_inspection"
    print(inspect_file(options.file, options.compare, folder, look))
