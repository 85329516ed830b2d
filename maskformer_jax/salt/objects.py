"""Salt's decoder of objects and their regression as one task of ours."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from maskformer_jax.errors import InputError
from maskformer_jax.salt.network import EPSILON, MODEL, Dense, dense
from maskformer_jax.salt.options import Module, module, options, real, section, whole
from maskformer_jax.salt.tasks import OBJECTS, Tasks, read_head, regression_options

COSTS = {"object_class": "object_class_ce", "mask_ce": "mask_ce", "mask_dice": "mask_dice"}


class Decoder(NamedTuple):
    """The decoder of objects, as ours.

    Attributes:
        options: of the task, but for losses and objects.
        classes: with `none`.
        activation: of its heads.
        loss: options of Salt's loss.
    """

    options: dict[str, Any]
    classes: int
    activation: Mapping[str, str]
    loss: Mapping[str, Any]


def read_decoder(node: Any, streams: Mapping[str, Any], behind: bool) -> Decoder:
    """The decoder of objects.

    Args:
        node: of the configuration.
        streams: of the network.
        behind: its layers have norms at their ends, as in Salt since June 2026.
    """
    found = module(node, f"{MODEL}.init_args.mask_decoder", "MaskDecoder")
    where = f"{found.where}.init_args"
    known = {name: ... for name in ("embed_dim", "num_layers", "md_config", "class_net")}
    known |= {"mask_net": ..., "num_objects": ..., "loss_config": ..., "aux_loss": False}
    given = options(found.args, where, {**known, "constituent_name": None}, {}, ("class_weights",))
    if given["constituent_name"] is None and len(streams) != 1:
        raise InputError(f"`{where}.constituent_name` must name a stream; got nothing")
    layers = options(
        *(given["md_config"], f"{where}.md_config", {"n_heads": ...}),
        {"mask_attention": True, "bidirectional_ca": True},
    )
    heads = {
        name: _head(module(given[f"{name}_net"], f"{where}.{name}_net", "Dense"))
        for name in ("class", "mask")
    }
    width = whole(given["embed_dim"], f"{where}.embed_dim")
    if heads["mask"].outputs != width:
        raise InputError(f"`{where}.mask_net` must have {width} outputs; got "
                         f"{heads['mask'].outputs}")  # fmt: skip
    decoder = {
        "norms": "behind" if behind else "first",
        "norm": {"name": "layer_norm", "learnt": True, "epsilon": EPSILON},
        "num_heads": layers["n_heads"],
        "feedforward_dim": 2 * width,
        "gated": False,
        "activation": "silu",
        "mask_threshold": 0.9,
        "scale_masks": False,
        "dummy": True,
        "head_widths": {"object_class": heads["class"].hidden, "mask": heads["mask"].hidden},
    }
    chosen = {
        "queries": given["num_objects"],
        "decoder_layers": given["num_layers"],
        "decoder": decoder,
        "auxiliary": given["aux_loss"],
    }
    loss = section(given["loss_config"], f"{where}.loss_config")
    functions = {head.where: head.activation for head in heads.values()}
    return Decoder(chosen, heads["class"].outputs, functions, loss)


def _head(found: Module) -> Dense:
    return dense(found.args, f"{found.where}.init_args")


def add_objects(found: Tasks, decoder: Decoder, mf_config: Any) -> None:
    """Adds the objects, whose classes, masks and properties are tasks of their own in Salt.

    Args:
        found: of the other tasks.
        decoder: of the objects.
        mf_config: section of the data about them.
    """
    found.activations |= decoder.activation
    config = section(mf_config, "data.mf_config")
    known = {"name": str, "id_label": str, "class_label": str, "object_classes": ...}
    of_object = options(config.get("object"), "data.mf_config.object", known)
    of_part = options(
        config.get("constituent"), "data.mf_config.constituent", {"name": str, "id_label": str}
    )
    place, queries = of_object["name"], decoder.options["queries"]
    found.objects[place] = {
        "dataset": place,
        "of": of_part["name"],
        "key": of_object["id_label"],
        "link": of_part["id_label"],
        "cap": queries,
    }
    classes = _object_classes(of_object["object_classes"], decoder.classes)
    label = found.label(place, of_object["class_label"], classes)
    loss = options(
        *(decoder.loss, "model.model.init_args.mask_decoder.init_args.loss_config"),
        {"loss_weights": ..., "matcher_weights": None, "null_class_weight": 0.5},
        {},
        ("num_classes", "losses"),
    )
    weights, costs = (
        {name: real(x, f"{where}.{name}") for name, x in section(given, where).items()}
        for where, given in (
            ("loss_weights", loss["loss_weights"]),
            ("matcher_weights", loss["matcher_weights"] or loss["loss_weights"]),
        )
    )
    losses: dict[str, Any] = {
        "object_class": {"label": label, "none_weight": loss["null_class_weight"]},
        "mask_ce": {} if weights.get("mask_ce") else None,
        "mask_dice": {} if weights.get("mask_dice") or not weights.get("mask_ce") else None,
    }
    found.weights |= {
        ours: weights.get(salt, 1.0) for ours, salt in COSTS.items() if losses[ours] is not None
    }
    if weights.get("mask_focal"):
        found.notes.append("the loss mask_focal of objects")
    head_widths = dict(decoder.options["decoder"]["head_widths"])
    if len(found.of_objects) > 1:
        raise InputError(
            f"two regressions of objects are not converted: `{found.of_objects[1][1].where}`"
        )
    for _, task in found.of_objects:
        head_widths["regression"] = _object_regression(found, task, losses)
    found.tasks[OBJECTS] = {
        "kind": "objects",
        "objects": place,
        "losses": losses,
        "matching": {ours: costs.get(salt, 0.0) for ours, salt in COSTS.items()}
        | {"regression": costs.get("regression", 0.0)},
        **decoder.options,
        "decoder": {**decoder.options["decoder"], "head_widths": head_widths},
    }
    found.salt[OBJECTS] = found.of_objects[0][0] if found.of_objects else None


def _object_classes(given: Any, number: int) -> dict[str, Any]:
    """Class -> value in the file, in the order of the outputs, without `null`, the last."""
    where = "data.mf_config.object.object_classes"
    entries_ = {name: section(x, f"{where}.{name}") for name, x in section(given, where).items()}
    places = {x: real(of.get("mapped"), f"{where}.{x}.mapped") for x, of in entries_.items()}
    ordered = sorted(places, key=places.__getitem__)
    if [places[name] for name in ordered] != list(range(number)):
        raise InputError(f"`{where}` must number the {number} outputs of class_net; got {ordered}")
    if ordered[-1] != "null":
        raise InputError(f"`{where}` must have null as the last; got {ordered[-1]}")
    return {name: entries_[name].get("raw") for name in ordered[:-1]}


def _object_regression(found: Tasks, task: Module, losses: dict[str, Any]) -> list[int]:
    """Adds the properties of objects to their losses; hidden layers of their head."""
    where, (given, targets) = f"{task.where}.init_args", regression_options(task)
    for name in ("target_denominators", "norm_params"):
        if given[name] is not None:
            raise InputError(f"`{where}.{name}` is not converted for objects")
    head, scales = read_head(found, task, given), {}
    if given["scaler"] is not None:
        scaler = module(given["scaler"], f"{where}.scaler", "RegressionTargetScaler")
        scales = section(scaler.args.get("scales"), f"{where}.scaler.init_args.scales")
    read = {x: _scale(scales.get(x, {"op": "linear"}), f"{where}.scaler.{x}") for x in targets}
    losses["regression"] = {"targets": {x: transform for x, (transform, _) in read.items()}}
    found.scales[f"{OBJECTS}.regression"] = {x: numbers for x, (_, numbers) in read.items()}
    found.weights["regression"] = float(given["weight"])
    return head.hidden


def _scale(given: Any, where: str) -> tuple[dict[str, Any], tuple[float, float]]:
    """Transform, mean and spread that are Salt's op(x_scale x + x_off) op_scale + op_off."""
    known = {"op": ..., "x_scale": 1.0, "x_off": 0.0, "op_scale": 1.0, "op_off": 0.0}
    x = options(given, where, known)
    if (
        x["op"] not in ("log", "linear")
        or x["op_scale"] <= 0
        or x["x_scale"] <= 0
        or x["x_off"] < 0
    ):
        raise InputError(f"`{where}` = {given} is not converted; what is: op log or linear, "
                         "positive scales, and an offset of at least 0")  # fmt: skip
    if x["op"] == "linear":
        slope = x["x_scale"] * x["op_scale"]
        return {}, (-(x["x_off"] * x["op_scale"] + x["op_off"]) / slope, 1 / slope)
    mean, std = -x["op_off"] / x["op_scale"], 1 / x["op_scale"]
    if x["x_off"] == 0:
        return {"name": "log", "scale": 1 / x["x_scale"]}, (mean, std)
    # log(s x + c) = log c + log(1 + s x / c)
    scale = x["x_off"] / x["x_scale"]
    return {"name": "log1p", "scale": scale}, (mean - math.log(x["x_off"]), std)
