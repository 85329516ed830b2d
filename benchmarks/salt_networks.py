"""Salt's MaskFormer and GN2, put together as Salt's own configurations say; needs Salt, not JAX."""

import copy
import importlib
from pathlib import Path
from typing import Any

import salt
import torch
import yaml
from torch import nn

GN2_PARAMETERS = 2_339_150  # of GN2 with its 256 features and 4 classes
# Network -> its configuration, and what stands for the width there and for nothing else.
CONFIGURATIONS = {
    "MaskFormer": (Path(salt.__file__).parent / "configs" / "MaskFormer.yaml", "256"),
    "GN2": (Path(__file__).with_name("salt_gn2.yaml"), "EMBED_DIM"),
}


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


def model_of(config: dict[str, Any]) -> nn.Module:
    """Salt's model, of the same initial parameters at every call."""
    torch.manual_seed(0)
    model = instantiate(copy.deepcopy(config["model"]["model"]))
    model.global_object = "jets"
    for task in model.tasks:
        task.global_object = "jets"
    return model
