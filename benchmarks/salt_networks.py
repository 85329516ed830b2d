"""Salt's MaskFormer and GN2, put together as Salt's own configurations say; needs Salt, not JAX."""

import copy
import importlib
from pathlib import Path
from typing import Any

import salt
import torch
import yaml
from torch import nn

GN2_OUTPUT, GN2_PARAMETERS = 128, 2_339_150  # of GN2 with its 256 features and 4 classes


def configuration(settings: dict[str, Any]) -> dict[str, Any]:
    """Salt's configuration of a network, with our inputs and classes of jets.

    That of the MaskFormer is Salt's `MaskFormer.yaml` with our width; its layers, losses and
    weights stay. GN2 has another encoder and other tasks beside it (`gn2`).

    Args:
        settings: `network`, `embed_dim`, `jets` and `tracks` (fields of the inputs), `jet_classes`.
    """
    text = (Path(salt.__file__).parent / "configs" / "MaskFormer.yaml").read_text()
    # The width is 256 there, and nothing else is.
    config = yaml.safe_load(text.replace("256", str(settings["embed_dim"])))
    variables = {name: settings[name] for name in ("jets", "tracks")}
    config["data"]["variables"] = variables
    model = config["model"]["model"]["init_args"]
    for net in model["init_nets"]:
        net |= {"variables": variables, "global_object": "jets"}
    if settings["network"] == "GN2":
        gn2(config, len(settings["jet_classes"]))
    for task in tasks_of(config):
        if task["input_name"] == "jets":
            task["class_names"] = settings["jet_classes"]
    return config


def gn2(config: dict[str, Any], num_classes: int) -> None:
    """Makes GN2 of the MaskFormer's configuration: its encoder, vertexing, no decoder, no objects.

    As in Salt's `GN2.yaml`, but for class weights, which come from a file, and for the default
    attention in place of one that needs a GPU.
    """
    model = config["model"]["model"]["init_args"]
    del model["mask_decoder"], config["data"]["mf_config"]
    encoder, width = model["encoder"]["init_args"], GN2_OUTPUT
    encoder |= {"out_dim": width, "num_registers": 1, "drop_registers": False}
    model["pool_net"]["init_args"] = {"input_size": width}
    modules = model["tasks"]["init_args"]["modules"]
    jets, _, origin = modules
    dense = jets["init_args"]["dense_config"]
    jets["init_args"]["dense_config"] = {**dense, "input_size": width, "output_size": num_classes}
    of_tracks = {**dense, "input_size": width, "context_size": width}
    origin["init_args"] |= {"weight": 0.5, "dense_config": {**of_tracks, "output_size": 8}}
    vertexing = {
        "class_path": "salt.models.VertexingTask",
        "init_args": {
            "name": "track_vertexing",
            "input_name": "tracks",
            "label": "ftagTruthVertexIndex",
            "weight": 1.5,
            "loss": {
                "class_path": "torch.nn.BCEWithLogitsLoss",
                "init_args": {"reduction": "none"},
            },
            "dense_config": {**of_tracks, "input_size": 2 * width, "output_size": 1},
        },
    }
    modules[:] = [jets, origin, vertexing]


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


def model_of(config: dict[str, Any]) -> nn.Module:
    """Salt's model, of the same initial parameters at every call."""
    torch.manual_seed(0)
    model = instantiate(copy.deepcopy(config["model"]["model"]))
    model.global_object = "jets"
    for task in model.tasks:
        task.global_object = "jets"
    return model
