"""`maskformer evaluate --run RUN [--run RUN ...] --test_file FILE [--output_dir FOLDER]`.

Instead of runs, `--onnx FILE`.
"""

from pathlib import Path

from maskformer_jax.commands.arguments import Parser
from maskformer_jax.program import call_of


def main(argv: list[str]) -> int:
    """Evaluates as the command line says and prints the tables; the exit code."""
    options, overrides = _parser().parse_known_args(argv)
    # Slow imports, after the command line is known to be right.
    from maskformer_jax.evaluation.comparison import evaluate_runs, report
    from maskformer_jax.evaluation.run import evaluate_trained
    from maskformer_jax.training.compilation import use_cache

    use_cache()
    folder, labels, alone = options.output_dir, options.label, options.predict_only
    if options.onnx is None:
        test = options.test_file
        print(evaluate_runs(options.run, test, folder, overrides, labels, predict_only=alone))
        return 0
    from maskformer_jax.export.reading import load_onnx

    trained = load_onnx(options.onnx, overrides)
    folder = folder or options.onnx.with_name(f"{options.onnx.stem}_evaluation")
    label = labels[0] if labels else trained.config.name
    found = evaluate_trained(trained, options.test_file, folder, label, predict_only=alone)
    print(report(found.result, [found.summary], options.test_file))
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=call_of("evaluate"),
        description="Write predictions, metrics, tables and plots of a run's best checkpoint; of "
        "several runs also all of it side by side.",
        epilog="Options of `evaluation`, `name` and the names of files and fields override the "
        "configuration of the runs: "
        "--evaluation.discriminants.b.backgrounds '{cjets: 0.2, ujets: 0.8}' sets f_c. Jets are "
        "drawn by --evaluation.display.first 4 or --evaluation.display.jets '[0, 17]'; "
        "--evaluation.max_jets 10000 takes the first jets alone. "
        f"{call_of('train')} --help.evaluation lists them.",
    )
    add = parser.add_argument
    runs = "folder of a training run; several times: compare with the first"
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, action="append", help=runs)
    made = "made by `export --batched`, instead of a run"
    what.add_argument("--onnx", type=Path, metavar="FILE", help=made)
    add("--label", action="append", default=[], help="of each run in plots and tables")
    add("--test_file", type=Path, required=True, help="HDF5 file of jets")
    add("--predict_only", action="store_true", help="write the predictions and nothing else")
    add(
        "--output_dir",
        type=Path,
        help="where the results go; default: RUN/evaluation, and the comparison in "
        "evaluation/comparison of the first run; results of another test file are not replaced",
    )
    return parser
