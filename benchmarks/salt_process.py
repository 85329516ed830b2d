"""Salt's MaskFormer and GN2, their training and data loading, as its own configurations say.

Runs where Salt and TorchJD are installed (`benchmarks/peers.sh`), JAX not being needed:
`python -m benchmarks.salt_process` answers the requests of `python benchmark.py training --peers`
and of `data --peers`.
"""

import copy
import importlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import salt
import torch
import yaml
from lightning.fabric.utilities import move_data_to_device
from salt.data import SaltDataset
from salt.data.samplers import RandomBatchSampler
from salt.models.transformer import change_attn_backends
from salt.modelwrapper import ModelWrapper
from salt.utils.configs import MaskformerConfig
from torch import Tensor
from torchjd.aggregation import CAGrad
from torchjd.autojac import jac_to_grad, mtl_backward

from benchmarks.serving import serve
from benchmarks.settings import SALT
from benchmarks.turns import Turn, turn

NORM_JETS = 5000
SCHEDULE_STEPS = 1_000_000
# Network -> its configuration, and what stands for the width there and for nothing else.
CONFIGURATIONS = {
    "MaskFormer": (Path(salt.__file__).parent / "configs" / "MaskFormer.yaml", "256"),
    "GN2": (Path(__file__).with_name("salt_gn2.yaml"), "EMBED_DIM"),
}

Backward = Callable[[dict[str, Tensor]], None]


def configuration(settings: dict[str, Any]) -> dict[str, Any]:
    """Salt's configuration of a network, with our width, inputs and classes of jets.

    Its layers, losses and weights stay.

    Args:
        settings: `network`, `embed_dim`, `jets` and `tracks` (fields of the inputs), `jet_classes`.
    """
    path, width = CONFIGURATIONS[settings["network"]]
    config = yaml.safe_load(path.read_text().replace(width, str(settings["embed_dim"])))
    variables = {name: settings[name] for name in ("jets", "tracks")}
    config["data"]["variables"] = variables
    for net in config["model"]["model"]["init_args"]["init_nets"]:
        net |= {"variables": variables, "global_object": "jets"}
    for task in tasks_of(config):
        if task["input_name"] == "jets":
            task["class_names"] = settings["jet_classes"]
            task["dense_config"]["output_size"] = len(settings["jet_classes"])
    return config


def tasks_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Arguments of the heads; the MaskFormer's mask decoder has further losses."""
    modules = config["model"]["model"]["init_args"]["tasks"]["init_args"]["modules"]
    return [module["init_args"] for module in modules]


def instantiate(node: Any) -> Any:
    """The object that `class_path` and `init_args` describe, and those inside of it."""
    if isinstance(node, list):
        return [instantiate(value) for value in node]
    if not isinstance(node, dict):
        return node
    if "class_path" not in node:
        return {key: instantiate(value) for key, value in node.items()}
    module, name = node["class_path"].rsplit(".", 1)
    make = getattr(importlib.import_module(module), name)
    return make(**instantiate(node.get("init_args", {})))


def wrapped(
    config: dict[str, Any], statistics: dict[str, Any], kind: type = ModelWrapper, **options: Any
) -> ModelWrapper:
    """Salt's model with its normalisation, of the same initial parameters at every call.

    Args:
        config: of Salt.
        statistics: dataset -> field -> its `mean` and `std`.
        kind: `ModelWrapper`, or one made of it.
        **options: that it has beside.
    """
    variables = config["data"]["variables"]
    for net in config["model"]["model"]["init_args"]["init_nets"]:
        net |= {"variables": variables, "global_object": "jets"}
    torch.manual_seed(0)
    rates = {name: float(value) for name, value in config["model"]["lrs_config"].items()}
    common = {"model": instantiate(config["model"]["model"]), "lrs_config": rates}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(statistics, file)
        file.flush()
        norms = {"variables": variables, "global_object": "jets", "input_map": None}
        norms["norm_dict"] = file.name
        return kind(norm_config=norms, global_object="jets", **common, **options).eval()


def batches(config: dict[str, Any], settings: dict[str, Any]) -> Iterator[tuple]:
    """Endless batches (inputs, pad masks, labels) of Salt's dataset, sampler and loader.

    They are read in this process, which is faster on one or two cores than in workers.

    Args:
        config: Salt's configuration.
        settings: `file`, `batch_size`, and `num_jets` to use, -1 for all.
    """
    data = config["data"]
    labels: dict[str, list[str]] = {}
    for task in tasks_of(config):
        labels.setdefault(task["input_name"], []).extend(task.get("targets") or [task["label"]])
    objects = data.get("mf_config")
    if objects is not None:
        labels["objects"] += [objects["object"][name] for name in ("id_label", "class_label")]
        labels["tracks"] += [objects["constituent"]["id_label"]]
        # It takes keys out of what it is given.
        objects = MaskformerConfig(**copy.deepcopy(objects))
    dataset = SaltDataset(
        settings["file"],
        norm_dict="",
        variables=data["variables"],
        stage="fit",
        num=settings["num_jets"],
        labels=labels,
        mf_config=objects,
    )
    sampler = RandomBatchSampler(dataset, settings["batch_size"], shuffle=True, drop_last=True)
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, sampler=sampler)
    return itertools.chain.from_iterable(itertools.repeat(loader))


def statistics_of(config: dict[str, Any], file: str) -> dict[str, Any]:
    """Means and spreads of the first jets of a file."""
    found = {}
    with h5py.File(file) as source:
        for name, fields in config["data"]["variables"].items():
            rows = source[name][:NORM_JETS]
            rows = rows[rows["valid"]] if "valid" in rows.dtype.names else rows
            columns = {field: rows[field].astype(np.float64) for field in fields}
            found[name] = {
                field: {"mean": float(x.mean()), "std": float(x.std()) or 1.0}
                for field, x in columns.items()
            }
    return found


def weighted_sum(whole: ModelWrapper) -> Backward:
    """Salt's `loss_mode: wsum`; the losses come with their weights."""
    return lambda losses: whole.total_loss(losses).backward()


def flash_attention(whole: ModelWrapper) -> Backward:
    """The same with the fused attention of PyTorch instead of the default of the configuration."""
    change_attn_backends(whole.model, "torch-flash")
    return weighted_sum(whole)


def torchjd(whole: ModelWrapper) -> Backward:
    """A gradient per loss at the encoder's parameters, combined by CAGrad."""
    features: list[Tensor] = []
    encoder, aggregator = whole.model.encoder, CAGrad(c=0.5)
    # The encoder returns the tracks and their padding.
    encoder.register_forward_hook(lambda _, inputs, outputs: features.append(outputs[0]))

    def backward(losses: dict[str, Tensor]) -> None:
        # The losses of objects share the decoder, whose graph is needed by each.
        mtl_backward(list(losses.values()), features=features.pop(), retain_graph=True)
        shared = [x for x in whole.parameters() if getattr(x, "jac", None) is not None]
        jac_to_grad(shared, aggregator)

    return backward


VARIANTS = dict(zip(SALT, (weighted_sum, flash_attention, torchjd), strict=True))


class Training:
    """Steps of one variant, as Salt's Lightning module makes them, without Lightning's loop.

    `device` among the settings is where it is trained; with a `dtype` of `bfloat16` the forward
    pass is made as by Lightning's `bf16-mixed`.

    Attributes:
        parameters: how many the model has.
    """

    def __init__(self, variant: str, settings: dict[str, Any]):
        config = configuration(settings)
        self._device = torch.device(settings["device"])
        half = settings["dtype"] == "bfloat16"
        self._cast = partial(torch.autocast, self._device.type, torch.bfloat16, enabled=half)
        whole = wrapped(config, statistics_of(config, settings["file"])).train()
        whole.trainer = SimpleNamespace(estimated_stepping_batches=SCHEDULE_STEPS)
        self._model = whole.to(self._device)
        self.parameters = sum(x.numel() for x in whole.parameters())
        self._backward, self._batches = VARIANTS[variant](whole), batches(config, settings)
        [self._optimiser], [schedule] = whole.configure_optimizers()
        self._schedule = schedule["scheduler"]

    def turn(self, steps: int) -> Turn:
        """Makes steps."""
        found = turn(self._batches, self._step, steps, self._end)
        if not all(bool(torch.isfinite(loss)) for loss in self._losses.values()):
            raise FloatingPointError(f"a loss is not finite: {self._losses}")
        return found

    def _step(self, batch: tuple) -> int:
        inputs, pad_masks, labels = move_data_to_device(tuple(batch), self._device)
        with self._cast():
            _, self._losses = self._model(inputs, pad_masks, labels)
        self._optimiser.zero_grad()
        self._backward(self._losses)
        self._optimiser.step()
        self._schedule.step()
        return len(inputs["jets"])

    def _end(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


class Salt:
    """Trainings and readers by name; the process of `peer_process.peer`."""

    def __init__(self):
        self._trainings: dict[str, Training] = {}
        self._readers: dict[str, Iterator[tuple]] = {}

    def train(self, variant: str, settings: dict[str, Any]) -> int:
        """Makes a training; its number of parameters."""
        self._trainings[variant] = Training(variant, settings)
        return self._trainings[variant].parameters

    def turn(self, variant: str, steps: int) -> Turn:
        """What `Training.turn` returns."""
        return self._trainings[variant].turn(steps)

    def read(self, file: str, settings: dict[str, Any]) -> None:
        """Opens a file."""
        self._readers[file] = batches(configuration(settings), settings)

    def next(self, file: str, number: int) -> float:
        """Seconds that so many batches of it take."""
        read = self._readers[file]
        return turn(read, lambda batch: len(batch[0]["jets"]), number, time.perf_counter).seconds


if __name__ == "__main__":
    serve(Salt())
