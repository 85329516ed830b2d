"""Salt's tasks as ours: labels, heads, weights of losses, and the scaling of targets."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maskformer_jax.errors import InputError
from maskformer_jax.salt.network import Dense, Inputs, dense
from maskformer_jax.salt.options import (
    Module,
    entries,
    module,
    names,
    options,
    same,
    section,
)
from maskformer_jax.types import JETS

# The order in which Salt numbers the classes of these labels.
CLASS_NAMES = {
    "ftagTruthOriginLabel": [
        *("Pileup", "Fake", "Primary", "FromB", "FromBC", "FromC", "FromTau", "OtherSecondary")
    ],
    "ftagTruthTypeLabel": ["NoTruth", "Other", "Pion", "Kaon", "Electron", "Muon"],
    "ftagTruthSourceLabel": [
        *("NoTruth", "NotSecondary", "HadronicInteraction", "StrangeMesonDecay"),
        *("StrangeBaryonDecay", "GammaConversion", "Other"),
    ],
}
REGRESSIONS = {"L1Loss": "l1", "MSELoss": "l2", "HuberLoss": "huber", "SmoothL1Loss": "huber"}
OBJECTS = "objects"


@dataclass
class Tasks:
    """What is found task by task.

    Attributes:
        labels: of `data.labels`.
        objects: of `data.objects`.
        tasks: ours, by name.
        weights: of the losses.
        salt: our task -> the number of Salt's; that of objects is the one of their regression.
        scales: label of targets -> target -> mean and spread.
        activations: dotted path -> activation of a head.
        notes: what of training is not carried over.
        of_objects: numbers and modules of the regressions of objects, for `objects.add_objects`.
    """

    labels: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    salt: dict[str, int | None] = field(default_factory=dict)
    scales: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    of_objects: list[tuple[int, Module]] = field(default_factory=list)

    def label(self, of: str, name: str, classes: Mapping[str, Any] | None = None) -> str:
        """Adds a label, and returns its name: that of its field where no other has it."""
        entry = {"of": of, "field": name, "classes": classes}
        free = self.labels.get(name, entry) == entry
        key = name if free else f"{of}_{name}"
        self.labels[key] = entry
        return key


def read_tasks(
    node: Any,
    inputs: Inputs,
    has_objects: bool,
    classes: Mapping[str, Sequence[str]],
    class_weights: Mapping[int, Sequence[float]],
) -> Tasks:
    """All tasks but for that of objects.

    Args:
        node: of the configuration, a list of modules.
        inputs: of the network.
        has_objects: there is a decoder of objects.
        classes: task -> names of its classes, where the configuration does not have them.
        class_weights: number of a task -> weights of its classes in the loss.
    """
    where = "model.model.init_args.tasks"
    modules = entries(module(node, where, "ModuleList").args.get("modules"), f"{where}.modules")
    found = Tasks()
    for number, entry in enumerate(modules):
        kinds = ("ClassificationTask", "RegressionTask", "GaussianRegressionTask", "VertexingTask")
        task = module(entry, f"{where}.init_args.modules.{number}", *kinds)
        place = task.args.get("input_name")
        if place == OBJECTS and has_objects and task.kind == "RegressionTask":
            found.of_objects.append((number, task))
            continue
        of = JETS if place == inputs.jets else place
        if of not in (JETS, *inputs.streams):
            raise InputError(f"`{task.where}.init_args.input_name` = {place!r} is not converted; "
                             f"what is: {', '.join([inputs.jets, *inputs.streams])}")  # fmt: skip
        if task.kind == "VertexingTask":
            name = _vertexing(found, task, of)
        elif task.kind.endswith("RegressionTask"):
            name = _regression(found, task, of)
        else:
            weights = class_weights.get(number)
            name = _classification(found, task, of, classes, weights)
        found.salt[name] = number
    return found


COMMON = {"name": str, "input_name": str, "dense_config": ..., "loss": ..., "weight": 1.0}


def read_head(found: Tasks, task: Module, given: Mapping[str, Any]) -> Dense:
    """The head of a task, whose activation is remembered."""
    head = dense(given["dense_config"], f"{task.where}.init_args.dense_config")
    found.activations[head.where] = head.activation
    return head


def _added(found: Tasks, given: Mapping[str, Any], task: dict[str, Any]) -> str:
    name = given["name"]
    if name in found.tasks:
        raise InputError(f"two tasks are called {name!r}")
    found.tasks[name] = task
    found.weights[name] = float(given["weight"])
    return name


def _classification(
    found: Tasks,
    task: Module,
    of: str,
    classes: Mapping[str, Sequence[str]],
    weights: Sequence[float] | None,
) -> str:
    where = f"{task.where}.init_args"
    known = {"label": str, "class_names": None, "label_map": None, "sample_weight": None}
    given = options(task.args, where, COMMON | known, {}, ("use_class_dict",))
    module(given["loss"], f"{where}.loss", "CrossEntropyLoss")
    head, name, label = read_head(found, task, given), given["name"], given["label"]
    if given["class_names"] and name in classes:
        raise InputError(f"the classes of {name} are in the configuration: leave out --classes")
    listed = given["class_names"] or classes.get(name) or CLASS_NAMES.get(label)
    if not listed:
        raise InputError(f"the classes of {name} are not in the configuration: name the "
                         f"{head.outputs} in order with --classes {name}=A,B,...")  # fmt: skip
    listed = names(listed, f"{where}.class_names")
    if len(listed) != head.outputs:
        raise InputError(f"`{where}` has {head.outputs} outputs and the {len(listed)} classes "
                         f"{', '.join(listed)}")  # fmt: skip
    if weights is not None and len(weights) != len(listed):
        raise InputError(f"the checkpoint has {len(weights)} weights of the {len(listed)} classes "
                         f"of {name}")  # fmt: skip
    values: dict[str, Any] = {x: number for number, x in enumerate(listed)}
    if given["label_map"] is not None:
        mapped = section(given["label_map"], f"{where}.label_map").items()
        if not all(re.fullmatch(r"-?\d{1,9}", raw) for raw, _ in mapped):
            raise InputError(f"`{where}.label_map` must be of whole numbers")
        values = {x: [int(raw) for raw, to in mapped if to == n] for n, x in enumerate(listed)}
    chosen = {
        "kind": "classification",
        "label": found.label(of, label, values),
        "head_widths": head.hidden,
        "class_weights": dict(zip(listed, weights, strict=True)) if weights is not None else None,
    }
    if given["sample_weight"] is not None:
        chosen["sample_weight"] = found.label(of, given["sample_weight"])
    return _added(found, given, chosen)


def regression_options(task: Module) -> tuple[dict[str, Any], list[str]]:
    """Options of a regression, and its targets."""
    where = f"{task.where}.init_args"
    known = {"targets": ..., "scaler": None, "target_denominators": None, "norm_params": None}
    known |= {"custom_output_names": None, "sample_weight": None}
    given = options(task.args, where, COMMON | known)
    targets = names(given["targets"], f"{where}.targets")
    return given, targets


def _regression(found: Tasks, task: Module, of: str) -> str:
    where, (given, targets) = f"{task.where}.init_args", regression_options(task)
    is_gaussian = task.kind == "GaussianRegressionTask"
    losses = ("GaussianNLLLoss",) if is_gaussian else tuple(REGRESSIONS)
    head, loss = read_head(found, task, given), module(given["loss"], f"{where}.loss", *losses)
    if given["scaler"] is not None:
        raise InputError(f"`{where}.scaler` is not converted but for objects")
    divided = names(given["target_denominators"], f"{where}.target_denominators")
    norm = section(given["norm_params"] or {}, f"{where}.norm_params")
    means, stds = (entries(norm.get(key), f"{where}.norm_params.{key}") for key in ("mean", "std"))
    numbers = list(zip(means, stds, strict=False)) or [(0.0, 1.0)] * len(targets)
    if len(numbers) != len(targets) or head.outputs != (1 + is_gaussian) * len(targets):
        raise InputError(f"`{where}` must have an output, a mean and a std for each of {targets}")
    chosen = {
        "kind": "regression",
        "of": of,
        "targets": {target: {} for target in targets},
        "denominators": dict(zip(targets, divided, strict=True)) if divided else {},
        "loss": "gaussian" if is_gaussian else REGRESSIONS[loss.kind],
        **({"spread": "variance"} if is_gaussian else {}),
        "nan": "ignore",
        "head_widths": head.hidden,
    }
    if given["sample_weight"] is not None:
        chosen["sample_weight"] = found.label(of, given["sample_weight"])
    name = _added(found, given, chosen)
    if given["custom_output_names"] is not None:
        found.notes.append(f"names of the outputs of {name}: those of its targets")
    found.scales[name] = dict(zip(targets, numbers, strict=True))
    return name


def _vertexing(found: Tasks, task: Module, of: str) -> str:
    where = f"{task.where}.init_args"
    given = options(task.args, where, COMMON | {"label": str})
    module(given["loss"], f"{where}.loss", "BCEWithLogitsLoss")
    chosen = {
        "kind": "edges",
        "label": found.label(of, given["label"]),
        "head_widths": read_head(found, task, given).hidden,
    }
    # Salt looks for the classes of the pair weights under this name.
    origin = given["label"].replace("VertexIndex", "OriginLabel")
    if origin in CLASS_NAMES and of != JETS:
        values = {name: number for number, name in enumerate(CLASS_NAMES[origin])}
        chosen |= {
            "pair_weights": "salt",
            "classes_label": found.label(of, origin, values),
            "heavy": ["FromB", "FromBC", "FromC"],
            "fake": ["Fake"],
            "primary": "Primary",
        }
    else:
        found.notes.append(
            f"weights of the pairs of {given['name']}: equal, as {origin} is unknown"
        )
    return _added(found, given, chosen)


def activation_of(found: Tasks) -> str:
    """That of all heads.

    Raises:
        InputError: they differ.
    """
    return same(found.activations, "activations of heads") if found.activations else "relu"
