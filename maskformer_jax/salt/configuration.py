"""Salt's configuration, as plain data, to ours."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import InputError, known
from maskformer_jax.salt.names import Places
from maskformer_jax.salt.network import (
    MODEL,
    Inputs,
    read_encoder,
    read_inputs,
)
from maskformer_jax.salt.objects import add_objects, read_decoder
from maskformer_jax.salt.options import entries, module, options, real, section
from maskformer_jax.salt.tasks import Tasks, activation_of, read_tasks
from maskformer_jax.types import JETS

# More than any file has; as many constituents are read as there are columns.
ALL_COLUMNS = 100
# Of the discriminants where the classes are those of ATLAS, without tau jets.
DISCRIMINANTS = {
    "b": {"signal": "bjets", "backgrounds": {"cjets": 0.1, "ujets": 0.9}},
    "c": {"signal": "cjets", "backgrounds": {"bjets": 0.2, "ujets": 0.8}},
}
# What changes what a file holds before the network sees it.
UNKNOWN_DATA = ("selections", "merge_dict", "multi_target", "edge_constructors", "parameters")


class Converted(NamedTuple):
    """What a configuration of Salt says.

    Attributes:
        config: ours, as plain data.
        places: where the parameters are.
        scales: label of targets -> target -> mean and spread.
        norms: stream or `jets` -> its parts in the checkpoint's normalisation -> their fields.
        notes: what of training is not carried over.
    """

    config: dict[str, Any]
    places: Places
    scales: Mapping[str, Mapping[str, tuple[float, float]]]
    norms: Mapping[str, Mapping[str, list[str]]]
    notes: list[str]


def convert(
    salt: Mapping[str, Any],
    state: Mapping[str, np.ndarray],
    classes: Mapping[str, Sequence[str]],
) -> Converted:
    """Our configuration of the same network.

    Args:
        salt: its configuration.
        state: parameters and buffers of the checkpoint, which say what it does not.
        classes: task -> names of its classes, where the configuration does not have them.

    Raises:
        InputError: something is not converted, by its name.
    """
    top = section(salt.get("model"), "model")
    if "modules" in top and "model" not in top:
        raise InputError("the configuration is of Salt 2, which is not converted")
    args = options(
        module(top.get("model"), MODEL, "SaltModel").args,
        f"{MODEL}.init_args",
        {"init_nets": ..., "tasks": ..., "encoder": None, "mask_decoder": None, "pool_net": None},
        {},
    )
    data = section(salt.get("data") or {}, "data")
    for name in UNKNOWN_DATA:
        if data.get(name):
            raise InputError(f"`data.{name}` is not converted")
    nets = entries(args["init_nets"], f"{MODEL}.init_args.init_nets")
    inputs, embedding = read_inputs(nets, data)
    decoder = None
    if args["mask_decoder"] is not None:
        behind = "model.mask_decoder.layers.0.norm1.weight" in state
        decoder = read_decoder(args["mask_decoder"], inputs.streams, behind)
    encoder = None
    if args["encoder"] is not None:
        encoder = read_encoder(args["encoder"], decoder is not None)
    if args["pool_net"] is not None:
        module(args["pool_net"], f"{MODEL}.init_args.pool_net", "GlobalAttentionPooling")
    elif inputs.streams:
        raise InputError(f"`{MODEL}.init_args.pool_net` must be given with streams; got nothing")
    tasks = read_tasks(args["tasks"], inputs, decoder is not None, classes, _class_weights(state))
    for name in classes:
        known(name, tasks.tasks, "task (`--classes`)")
    if decoder is not None:
        add_objects(tasks, decoder, data.get("mf_config"))
    model = {
        "embed_dim": embedding.outputs,
        "num_heads": encoder.num_heads if encoder else 1,
        "head_widths": [],
        "jet_inputs": inputs.joined,
        "activation": activation_of(tasks),
        "embedding": {"widths": embedding.hidden, "activation": embedding.activation},
        "encoder": encoder.options if encoder else {"layers": 0},
    }
    config = {
        "name": salt.get("name") or "salt",
        "data": _data(data, inputs, tasks),
        "model": model,
        "tasks": tasks.tasks,
        "weighting": {"name": "static", "options": {"weights": tasks.weights}},
        "training": _training(salt, top, tasks),
        "evaluation": {"discriminants": _discriminants(tasks)},
    }
    width = encoder.width if encoder else embedding.outputs
    norms = {JETS: inputs.norms, **{x: {x: fields} for x, fields in inputs.streams.items()}}
    return Converted(config, _places(inputs, tasks, width), tasks.scales, norms, tasks.notes)


def _class_weights(state: Mapping[str, np.ndarray]) -> dict[int, list[float]]:
    """Number of a task -> weights of its classes, which are buffers of its loss."""
    found = {}
    for name, value in state.items():
        parts = name.split(".")
        number = parts[2] if parts[:2] == ["model", "tasks"] else ""
        if number.isdecimal() and parts[3:] == ["loss", "weight"]:
            found[int(number)] = [float(x) for x in value.ravel()]
    return found


def _data(data: Mapping[str, Any], inputs: Inputs, tasks: Tasks) -> dict[str, Any]:
    sets = section(data.get("input_map") or {}, "data.input_map")
    caps = section(data.get("num_inputs") or {}, "data.num_inputs")
    for objects in tasks.objects.values():
        known(objects["of"], inputs.streams, "stream (`data.mf_config.constituent.name`)")
    return {
        "jets": {"dataset": sets.get(inputs.jets, inputs.jets), "inputs": inputs.jet_fields},
        "streams": {
            name: {
                "dataset": sets.get(name, name),
                "inputs": fields,
                "cap": caps.get(name, ALL_COLUMNS),
            }
            for name, fields in inputs.streams.items()
        },
        "objects": tasks.objects,
        "labels": tasks.labels,
    }


def _training(salt: Mapping[str, Any], top: Mapping[str, Any], tasks: Tasks) -> dict[str, Any]:
    """Length, batches and learning rates; notes on what is other."""
    rates = section(top.get("lrs_config") or {}, "model.lrs_config")
    schedule = {"initial": "initial", "peak": "max", "final": "end", "warmup_fraction": "pct_start"}
    found: dict[str, Any] = {
        "schedule": {
            "name": "one_cycle",
            "options": {ours: rates[x] for ours, x in schedule.items() if x in rates},
        },
        "optimiser": {
            "name": "adamw",
            "options": {"weight_decay": rates.get("weight_decay", 1e-5)},
        },
    }
    trainer = section(salt.get("trainer") or {}, "trainer")
    if real(trainer.get("max_epochs") or 0, "trainer.max_epochs") > 0:
        found["epochs"] = trainer["max_epochs"]
    batch = section(salt.get("data") or {}, "data").get("batch_size")
    if batch is not None:
        found["batch_size"] = batch
    for name, default in (("loss_mode", "wsum"), ("optimizer", "AdamW")):
        value = top.get(name) or default
        if value != default:
            tasks.notes.append(f"model.{name} = {value}: {default} in its place")
    return found


def _discriminants(tasks: Tasks) -> dict[str, Any]:
    of_jets = [x["classes"] for x in tasks.labels.values() if x["of"] == JETS and x["classes"]]
    there = any({"bjets", "cjets", "ujets"} <= {*classes} for classes in of_jets)
    return DISCRIMINANTS if there else {}


def _places(inputs: Inputs, tasks: Tasks, width: int) -> Places:
    of_streams = {
        name
        for name, task in tasks.tasks.items()
        if task["kind"] in ("classification", "regression") and _place(task, tasks) != JETS
    }
    return Places(
        nets={name: number for number, name in enumerate(inputs.streams or [JETS])},
        tasks=tasks.salt,
        jets=inputs,
        width=width,
        stream_heads=frozenset(of_streams),
    )


def _place(task: Mapping[str, Any], tasks: Tasks) -> str:
    return task["of"] if "of" in task else tasks.labels[task["label"]]["of"]
