"""What a run folder holds that an evaluation needs, and what its model says of a file of jets."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from maskformer_jax import config as configuration
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.data import NORMALISATION_FILE, JetFile, Records, Scaling, read_sequential
from maskformer_jax.data.schema import Targets
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.baseline import Baseline
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.training import manifest
from maskformer_jax.training.checkpoint import restore_params
from maskformer_jax.training.compilation import settle
from maskformer_jax.training.run_folder import (
    BASELINE_FILE,
    CONFIG_FILE,
    EVALUATED,
    check_unchanged,
)
from maskformer_jax.types import Batch, Labels


class Trained(NamedTuple):
    """What a run folder holds.

    Attributes:
        config: resolved configuration, with overrides.
        scaling: of inputs and targets.
        model: the network and its tasks.
        params: of the best checkpoint.
        baseline: impact-parameter tagger; none where the run has none or the config wants none.
        network: what stands for the parameters, made of the rows of a file and their batch; none:
            the parameters do.
    """

    config: Config
    scaling: Scaling
    model: Model
    params: Any
    baseline: Baseline | None
    network: Callable[[Records, Batch], Any] | None = None


def load_run(run: Path, overrides: Sequence[str] = ()) -> Trained:
    """Everything in a run folder that an evaluation needs.

    Args:
        run: the folder.
        overrides: command-line arguments that win over the folder's configuration.

    Raises:
        InputError: the folder is missing, incomplete or damaged.
    """
    settle()
    config = load_config(run, overrides)
    scaling = Scaling.load(run / NORMALISATION_FILE)
    model = build(config)
    scaling.check(model.schema)
    params = restore_params(run, model.params)
    file, wanted = run / BASELINE_FILE, config.evaluation.baseline
    baseline = Baseline.load(file, wanted) if wanted and file.exists() else None
    return Trained(config, scaling, model, params, baseline)


def load_config(run: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a run folder.

    Args:
        run: the folder.
        overrides: command-line arguments that win over it.

    Raises:
        InputError: the folder is missing, incomplete or damaged, or an option makes another model.
    """
    path = run / CONFIG_FILE
    for needed in (run, path, run / NORMALISATION_FILE):
        if not needed.exists():
            raise InputError(f"{needed}: no such file or folder; `--run` must be a training run")
    manifest.read(run)
    config = configuration.load_saved(path, overrides)
    check_unchanged(run, config, EVALUATED, "evaluated")
    return config


Found = dict[str, dict[str, Any]]


def build_predict(model: Model) -> Callable[[Any, Batch, Labels], tuple[Found, Found]]:
    """A compiled function (params, batch, labels) -> predictions and counts of every task.

    Objects are in the order of the truth where the labels have it.
    """

    @jax.jit
    def predict(params, batch, labels):
        outputs = model.apply(params, batch)
        given = [(task, outputs[task.name]) for task in model.tasks]
        predictions = {task.name: task.predict(x, batch, labels) for task, x in given}
        return predictions, {task.name: task.count(x, batch, labels) for task, x in given}

    return predict


def predict_file(trained: Trained, file: JetFile) -> Iterator[Chunk]:
    """Predictions of a file, or of its first jets, in its order, on the host and without padding.

    A batch is computed while the one before it is used.
    """
    predict, options = build_predict(trained.model), trained.config.evaluation
    waiting = None
    chosen = {"labelled_only": False, "num_jets": options.max_jets}
    batches = read_sequential(file, trained.scaling, options.batch_size, **chosen)
    for records, batch, labels in batches:
        network = trained.network
        params = trained.params if network is None else network(records, batch)
        started = (records, labels, *predict(params, batch, labels))
        if waiting is not None:
            yield _on_host(trained, *waiting)
        waiting = started
    yield _on_host(trained, *waiting)


def _on_host(
    trained: Trained, records: Records, labels: Labels, predictions: Found, counts: Found
) -> Chunk:
    number = len(records.jets)
    predictions, labels = jax.tree.map(
        lambda x: np.asarray(x)[:number], (jax.device_get(predictions), dict(labels))
    )
    predicted, true = {}, {}
    for task in trained.model.tasks:
        found = predictions[task.name]
        if "edge_logits" in found:
            of = trained.model.schema.labels[task.options.label].of
            edges = found["valid"] & (found["edge_logits"] >= 0)
            real = records.streams[of].index >= 0
            index = vertices_of_edges(edges, found["first"], found["second"], real)
            predictions[task.name] = {"vertex_index": index}
        for name, target in task.needs.labels.items():
            values = found.get("regression", found.get("values"))
            if not isinstance(target, Targets) or values is None:
                continue
            factor = _denominators(records, target)
            predicted[name] = trained.scaling.to_physical(name, values) * factor
            if "std" in found:
                scaled = trained.scaling.targets[name]
                found["stddev"] = scaled.physical_std(values, found["std"]) * np.abs(factor)
            if name in labels:
                true[name] = trained.scaling.to_physical(name, labels[name]) * factor
    return Chunk(records, labels, predictions, jax.device_get(counts), predicted, true)


def _denominators(records: Records, target: Targets) -> np.ndarray | float:
    """What the targets of a label were divided by, `[..., R]`."""
    if not target.denominators:
        return 1.0
    table = records.jets
    if target.of in records.streams:
        table, index = records.streams[target.of]
        table = np.take_along_axis(table, np.maximum(index, 0), axis=1)
    names = [target.denominators.get(name) for name in target.transforms]
    ones = np.ones(table.shape)
    return np.stack([ones if n is None else table[n].astype(np.float64) for n in names], axis=-1)


def vertices_of_edges(
    edges: Bool[np.ndarray, "N P"],
    first: Int[np.ndarray, "N P"],
    second: Int[np.ndarray, "N P"],
    real: Bool[np.ndarray, "N L"],
) -> Int[np.ndarray, "N L"]:
    """Vertex of each constituent: the place of the first one that edges connect it to.

    A constituent without an edge is a vertex of its own; padding has -1.

    Args:
        edges: pairs that come from one vertex.
        first: place of one constituent of each pair.
        second: place of the other.
        real: False for padding.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    jets, width = real.shape
    jet, pair = np.nonzero(edges)
    ends = (jet * width + first[jet, pair], jet * width + second[jet, pair])
    graph = coo_matrix((np.ones(len(jet), bool), ends), shape=(real.size, real.size))
    _, component = connected_components(graph, directed=False)
    _, begins = np.unique(component, return_index=True)
    return np.where(real, begins[component].reshape(jets, width) % width, -1)
