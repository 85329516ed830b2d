"""A batched ONNX file in place of a run: its predictions, on the files that a training reads."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskformer_jax import config as configuration
from maskformer_jax.build import build
from maskformer_jax.data import NORMALISATION_FILE, Records, Scaling
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.trained import Trained
from maskformer_jax.export.function import Input, inputs_of
from maskformer_jax.export.run import load_description, session
from maskformer_jax.model.decoder import Decoded
from maskformer_jax.tasks.edges import EdgeLogits
from maskformer_jax.tasks.task import Task
from maskformer_jax.training.run_folder import CONFIG_FILE, EVALUATED, check_unchanged
from maskformer_jax.types import JETS, Batch, Objects, Pairs

Arrays = Mapping[str, np.ndarray]


def load_onnx(path: Path, overrides: Sequence[str] = ()) -> Trained:
    """What an evaluation needs, with the network of an ONNX file.

    Args:
        path: made by `maskformer export --batched` of all tasks.
        overrides: command-line arguments that win over the configuration of the run.

    Raises:
        InputError: it is another file, or of one jet at a time.
    """
    about = load_description(path)
    if not about["batched"]:
        raise InputError(f"{path} takes one jet at a time; evaluate one of `export --batched`")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / CONFIG_FILE).write_text(about["config"])
        (run / NORMALISATION_FILE).write_text(about["normalisation"])
        config = configuration.load_saved(run / CONFIG_FILE, overrides)
        check_unchanged(run, config, EVALUATED, "evaluated")
        scaling = Scaling.load(run / NORMALISATION_FILE)
    model = build(config)
    scaling.check(model.schema)
    there = {x["task"] for x in about["outputs"].values()}
    lacks = [task.name for task in model.tasks if task.name not in there]
    if lacks:
        raise InputError(f"{path} has no output of {', '.join(lacks)}; export all tasks")
    run_file, inputs = session(str(path)), inputs_of(model.schema, True)

    def network(records: Records, batch: Batch) -> dict[str, Any]:
        size = len(batch.jets)
        found = run_file({x.name: raw(x, records, model.schema, size) for x in inputs})
        wrong = [name for name, x in found.items() if np.isnan(x[: len(records.jets)]).any()]
        if wrong:
            raise InputError(f"{path}: its network gives NaN as `{wrong[0]}`")
        try:
            return {x.name: RESULTS[x.options.kind](x, found, batch) for x in model.tasks}
        except KeyError as error:
            raise InputError(f"{path}: its network has no output {error}") from error

    # What the network says is given where its parameters would be.
    model = model._replace(apply=lambda said, batch, key=None: said)
    return Trained(config, scaling, model, None, None, network)


def raw(given: Input, records: Records, schema: Schema, size: int) -> np.ndarray:
    """An input of the graph from rows of a file, filled up to `size` jets.

    Args:
        given: the input.
        records: rows.
        schema: of the file.
        size: jets.
    """
    table = records.jets
    if given.place != JETS:
        table, index = records.streams[given.place]
        if not given.fields:
            return _filled(index >= 0, size)
        table = np.take_along_axis(table, np.maximum(index, 0), axis=1)
    values = np.stack([table[name].astype(np.float32) for name in given.fields], axis=-1)
    if given.place != JETS:
        values = np.where(index[..., None] >= 0, values, 0).astype(np.float32)
    return _filled(values, size)


def _filled(values: np.ndarray, size: int) -> np.ndarray:
    return np.pad(values, [(0, size - len(values)), *[(0, 0)] * (values.ndim - 1)])


def _edges(task: Task, found: Arrays, batch: Batch) -> EdgeLogits:
    matrix = found[f"{task.name}.edge_logits"]
    pairs: Pairs = batch.pairs[task.needs.pairs[0]]
    index = np.asarray(pairs.first) * matrix.shape[-1] + np.asarray(pairs.second)
    logits = np.take_along_axis(matrix.reshape(len(matrix), -1), index, axis=1)
    return EdgeLogits(logits, logits)


def _objects(task: Task, found: Arrays, batch: Batch) -> Decoded:
    leaves = {name: found.get(f"{task.name}.{name}") for name in Objects._fields}
    return Decoded(Objects(**leaves), (), np.zeros((len(batch.jets), 0, 0), np.float32))


# Kind of task -> what its head gives, from the outputs of the graph.
RESULTS: dict[str, Callable[[Task, Arrays, Batch], Any]] = {
    "classification": lambda task, found, batch: found[f"{task.name}.logits"],
    "regression": lambda task, found, batch: found[f"{task.name}.values"],
    "edges": _edges,
    "objects": _objects,
}
