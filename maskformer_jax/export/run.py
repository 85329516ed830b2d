"""From a run folder to a file for other programs."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskformer_jax import __version__
from maskformer_jax.build import build
from maskformer_jax.config import Config
from maskformer_jax.data import NORMALISATION_FILE
from maskformer_jax.errors import InputError, check, known
from maskformer_jax.evaluation.residuals import units
from maskformer_jax.evaluation.trained import Trained, load_run
from maskformer_jax.export import athena
from maskformer_jax.export import check as checks
from maskformer_jax.export.function import Exported, Input, inputs_of
from maskformer_jax.export.indices import MOST_CONSTITUENTS
from maskformer_jax.export.outputs import outputs_of
from maskformer_jax.files import write_whole
from maskformer_jax.training.run_folder import CONFIG_FILE
from maskformer_jax.types import JETS

# Key of our own metadata of an ONNX file.
OURS = "maskformer_jax"
# Beyond so many standard deviations of a transformed field lie few values of the training file.
SPREAD = 5.0


@dataclasses.dataclass(frozen=True)
class Options:
    """What is exported of a run.

    Attributes:
        name: of the model in the outputs; none: that of the run, letters and digits of it.
        tasks: their outputs; none: all.
        rename: `old=new` names of outputs, without that of the model.
        track_selection: of Athena.
        batched: a function of many jets, with all that the network says.
    """

    name: str | None = None
    tasks: Sequence[str] = ()
    rename: Sequence[str] = ()
    track_selection: str = "r22default"
    batched: bool = False


def export_run(
    run: Path, path: Path, form: Literal["onnx", "stablehlo"], options: Options
) -> list[str]:
    """Writes the best checkpoint of a run as ONNX or StableHLO, when it has been compared with JAX.

    Args:
        run: folder of a training.
        path: the file, which must not exist; StableHLO has its description beside it.
        form: of the file.
        options: what of the run.

    Returns:
        What there is to say: warnings, and what was compared.

    Raises:
        InputError: something that was given is wrong, something of the network can't be exported,
            or the file would not say what JAX says.
    """
    others = [path] if form == "onnx" else [path, _beside(path)]
    for other in others:
        there = other.exists() or other.is_symlink()
        check(not there, "--output", "be a new file", str(other))
    check(path.parent.is_dir(), "--output", "be in a folder that exists", str(path))
    trained = load_run(run)
    exported = exported_of(trained, options)
    name = athena.name_of(trained.config.name, options.name)
    names = output_names(exported, name, options.rename)
    said = list(athena.warnings(exported.inputs, trained.model.schema))
    if form == "onnx":
        files = {"config": CONFIG_FILE, "normalisation": NORMALISATION_FILE}
        texts = {key: (run / file).read_text() for key, file in files.items()}
        about = (trained.config, names, name, options.track_selection)
        content = onnx_of(exported, *about, texts)
        found = checks.compare(exported, session(content), trained.config, names)
        write_whole(path, content)
        return [*said, found]
    from maskformer_jax.export.stablehlo import runner, to_stablehlo

    content = to_stablehlo(exported)
    found = checks.compare(exported, runner(content, exported, names), trained.config, names, 6)
    about = description(exported, trained.config, names)
    write_whole(path, content)
    try:
        write_whole(_beside(path), json.dumps(about, indent=1).encode())
    except InputError:
        path.unlink(missing_ok=True)  # worth nothing alone, and in the way of the next
        raise
    return [found]


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def exported_of(trained: Trained, options: Options) -> Exported:
    """The function of a run, in float32.

    Raises:
        InputError: a task is not there, or can't be exported.
    """
    config, model = trained.config, trained.model
    if config.model.compute_dtype != "float32":
        single = dataclasses.replace(config.model, compute_dtype="float32")
        model = build(dataclasses.replace(config, model=single))
    for task in options.tasks:
        known(task, [x.name for x in model.tasks], "task (--tasks)")
    tasks = [x for x in model.tasks if not options.tasks or x.name in options.tasks]
    outputs = outputs_of(tasks, model.schema, config, options.batched)
    inputs = inputs_of(model.schema, options.batched)
    return Exported(inputs, outputs, options.batched, model, trained.scaling, trained.params)


def output_names(exported: Exported, name: str, rename: Sequence[str]) -> dict[str, str]:
    """Names of the outputs in a file, by those without the name of the model.

    Raises:
        InputError: as for `athena.renamed`.
    """
    own = [x.name for x in exported.outputs if not x.of_network]
    names = {key: f"{name}_{new}" for key, new in athena.renamed(own, rename).items()}
    return {x.name: names.get(x.name, x.name) for x in exported.outputs}


def onnx_of(
    exported: Exported,
    config: Config,
    names: Mapping[str, str],
    name: str,
    track_selection: str = "r22default",
    texts: Mapping[str, str] | None = None,
) -> bytes:
    """An ONNX file with all that Athena and we read of it.

    Args:
        exported: the function.
        config: of the run.
        names: of the outputs.
        name: of the model.
        track_selection: of Athena.
        texts: configuration and normalisation of the run, for `load_onnx`.
    """
    from maskformer_jax.export.translation import to_onnx

    gnn = athena.metadata(exported.inputs, [*names.values()], name, track_selection)
    about = description(exported, config, names) | dict(texts or {})
    graph = to_onnx(exported.__call__, exported.specs(), [*names.values()], name)
    graph.doc_string = name
    for key, value in (("gnn_config", gnn), (OURS, about)):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    return graph.SerializeToString()


@contextlib.contextmanager
def _told(problem: str) -> Iterator[None]:
    """Whatever onnxruntime raises, as one line that begins with the problem."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{problem}: {' '.join(str(error).split())}") from error


def session(content: bytes | str) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """onnxruntime on one core, with an ONNX file: arrays by input -> arrays by output.

    Args:
        content: of the file, or its path.

    Raises:
        InputError: it is no ONNX file, or one of something that onnxruntime does not know.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    what = content if isinstance(content, str) else "the exported network"
    with _told(f"{what}: onnxruntime can't read it"):
        opened = onnxruntime.InferenceSession(content, options, providers=providers)
    outputs = [x.name for x in opened.get_outputs()]

    def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with _told(f"{what}: onnxruntime can't compute it"):
            found = opened.run(None, dict(arrays))
        return dict(zip(outputs, found, strict=True))

    return run


def description(exported: Exported, config: Config, names: Mapping[str, str]) -> dict[str, Any]:
    """What a reader must know of inputs and outputs: units, padding, classes, usual ranges."""
    unit, parts = units(config.evaluation.fields), exported.scaling
    streams = exported.model.schema.streams

    def fields(given: Input) -> dict[str, Any]:
        part = parts.jets if given.place == JETS else parts.streams[given.place]
        low, high = (part.to_physical(np.full(len(part.fields), x)) for x in (-SPREAD, SPREAD))
        ranges = zip(given.fields, low.tolist(), high.tolist(), strict=True)
        return {x: {"unit": unit.get(x, ""), "range": [a, b]} for x, a, b in ranges}

    caps = {name: stream.cap for name, stream in streams.items()}
    return {
        "version": __version__,
        "batched": exported.batched,
        "inputs": {
            x.name: {"axes": list(x.axes), "fields": fields(x)}
            if x.fields
            else {"axes": list(x.axes), "meaning": "False for padding, which comes last"}
            for x in exported.inputs
        },
        "outputs": {
            names[x.name]: {
                "task": x.task,
                "of": x.place,
                "unit": x.unit,
                "classes": list(x.meaning),
            }
            for x in exported.outputs
        },
        "trained_with_at_most": caps,
        "at_most": {name: MOST_CONSTITUENTS for name in exported.model.schema.pairs},
    }


def load_description(path: Path) -> dict[str, Any]:
    """Our own metadata of an ONNX file.

    Raises:
        InputError: it is not there, or no ONNX file, or not of this package.
    """
    import onnx

    check(path.is_file(), "--onnx", "be a file", str(path))
    try:
        model = onnx.load(path)
    except Exception as error:
        raise InputError(f"{path}: not a readable ONNX file") from error
    found = {x.key: x.value for x in model.metadata_props}
    if OURS not in found:
        raise InputError(f"{path}: an ONNX file of something else: it has no `{OURS}` metadata")
    try:
        about = json.loads(found[OURS])
        kinds = {"batched": bool, "outputs": dict, "config": str, "normalisation": str}
        whole = all(isinstance(about[key], kind) for key, kind in kinds.items())
        whole = whole and all("task" in output for output in about["outputs"].values())
    except (ValueError, LookupError, TypeError):
        whole = False
    if not whole:
        raise InputError(f"{path}: its `{OURS}` metadata is damaged")
    return about
