"""Salt's networks as our configuration of one: `model`.

Of every module the options that change its outputs are known; those of training alone are passed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from maskformer_jax.errors import InputError
from maskformer_jax.salt.options import (
    activation,
    entries,
    module,
    names,
    options,
    same,
    section,
    whole,
)

MODEL = "model.model"
NORMS = {"LayerNorm": ("layer_norm", False), "RMSNorm": ("rms_norm", True)}
# What is joined to the pooled jet; in capitals up to Salt 0.10.
GLOBAL = ("global", "GLOBAL")
POSITIONS = ("pre", "post", "hybrid")
EPSILON = 1e-5
# The name that Salt has from 0.12 on, and those that it had before.
ENCODERS = ("Transformer", "TransformerV2", "TransformerEncoder")


class Dense(NamedTuple):
    """Fully connected layers.

    Attributes:
        hidden: widths of the hidden layers.
        outputs: width of the output.
        activation: between the layers.
        where: dotted path in the configuration.
    """

    hidden: list[int]
    outputs: int
    activation: str
    where: str


class Inputs(NamedTuple):
    """What the network reads.

    Attributes:
        jets: what Salt calls the global object.
        jet_fields: inputs of the jets, none where nothing reads them: those that are joined to
            constituents, and behind them others that are joined to the pooled jet alone.
        streams: name -> fields, in the order in which Salt joins the streams.
        joined: what the inputs of the jets are joined to: constituents, pooled or both.
        norms: what Salt calls the inputs of the jets -> their fields, in its order: those that are
            joined to constituents, and those that are joined to the pooled jet.
    """

    jets: str
    jet_fields: list[str]
    streams: Mapping[str, list[str]]
    joined: str
    norms: Mapping[str, list[str]]

    @property
    def attached(self) -> list[str]:
        """Fields that are joined to constituents."""
        return self.norms.get(self.jets, [])

    @property
    def last(self) -> list[str]:
        """Fields that are joined to the pooled jet."""
        return next((self.norms[x] for x in GLOBAL if x in self.norms), [])


def dense(given: Any, where: str, inputs: int | None = None) -> Dense:
    """Fully connected layers.

    Args:
        given: options of Salt's `Dense`.
        where: their dotted path.
        inputs: number of inputs, where Salt fills it in.
    """
    found = options(
        given,
        where,
        {
            **{"input_size": inputs, "output_size": None, "hidden_layers": None},
            **{"hidden_dim_scale": 2, "activation": "ReLU"},
        },
        {"mup": False},
        ("dropout", "bias", "context_size", "final_activation"),
    )
    if section(given, where).get("final_activation") is not None:
        raise InputError(f"`{where}.final_activation` is not converted")
    hidden, size = found["hidden_layers"], found["input_size"]
    if hidden is None or found["output_size"] is None:
        size = whole(size, f"{where}.input_size")
    if hidden is None:
        hidden = [size * found["hidden_dim_scale"]]
    hidden = [whole(x, f"{where}.hidden_layers") for x in entries(hidden, where)]
    outputs = whole(found["output_size"] or size, f"{where}.output_size")
    return Dense(hidden, outputs, activation(found["activation"], f"{where}.activation"), where)


def read_inputs(nets: list[Any], data: Mapping[str, Any]) -> tuple[Inputs, Dense]:
    """What the initial networks read, and what they are; the same for all streams.

    Args:
        nets: `init_nets`.
        data: section of the data.
    """
    if not nets:
        raise InputError(f"`{MODEL}.init_args.init_nets` must hold a network; got none")
    jets = names(data.get("global_object") or "jets", "data.global_object")[0]
    variables = section(data.get("variables"), "data.variables")
    of_jets = names(variables.get(jets), f"data.variables.{jets}")
    for name in variables:
        if name in ("parameters", "PARAMETERS", "EDGE") or name.startswith("_"):
            raise InputError(f"`data.variables.{name}`: such inputs are not converted")
    layers, attached, streams = {}, {}, {}
    for number, net in enumerate(nets):
        where = f"{MODEL}.init_args.init_nets.{number}"
        known = {"input_name": str, "dense_config": ..., "attach_global": True}
        passed = ("variables", "global_object")
        found = options(net, where, known, {"mup": False}, passed)
        name, attach = found["input_name"], found["attach_global"]
        fields = names(variables.get(name), f"data.variables.{name}")
        inputs = len(fields) + (len(of_jets) if attach else 0)
        layers[f"{where}.dense_config"] = dense(
            found["dense_config"], f"{where}.dense_config", inputs
        )
        attached[f"{where}.attach_global"], streams[name] = attach, fields
    same({where: layer[:3] for where, layer in layers.items()}, "initial networks")
    attach, embedding = same(attached, "attach_global"), next(iter(layers.values()))
    if jets in streams:
        if len(streams) > 1 or attach:
            raise InputError(f"an initial network of {jets} beside others is not converted")
        return Inputs(jets, of_jets, {}, "constituents", {jets: of_jets}), embedding
    norms = {jets: of_jets} if attach else {}
    pooled = {x: names(variables[x], f"data.variables.{x}") for x in GLOBAL if x in variables}
    joined = "both" if pooled and attach else "pooled" if pooled else "constituents"
    norms |= pooled
    fields = [*dict.fromkeys(field for part in norms.values() for field in part)]
    return Inputs(jets, fields, streams, joined, norms), embedding


class Encoder(NamedTuple):
    """The encoder, as ours.

    Attributes:
        num_heads: attention heads.
        options: of `model.encoder`.
        width: of its output.
    """

    num_heads: int
    options: dict[str, Any]
    width: int


def read_encoder(node: Any, has_decoder: bool) -> Encoder:
    """The encoder.

    Args:
        node: of the configuration.
        has_decoder: a decoder of objects follows, to which Salt shows no register.
    """
    found = module(node, f"{MODEL}.init_args.encoder", *ENCODERS)
    where = f"{found.where}.init_args"
    if found.kind == "TransformerEncoder":
        return _first_encoder(found.args, where)
    given = options(
        found.args,
        where,
        {
            **{"num_layers": ..., "embed_dim": ..., "out_dim": None, "norm": "LayerNorm"},
            **{"num_registers": 1, "drop_registers": False, "norm_type": "pre"},
            **{"attn_kwargs": {}, "dense_kwargs": {}},
        },
        {
            **{"do_final_norm": True, "edge_embed_dim": 0, "update_edges": False, "mup": False},
            "num_dense": 1,
        },
        ("attn_type", "drop_path"),
    )
    norm, kind = given["norm"], given["norm_type"]
    if norm not in NORMS or kind not in POSITIONS:
        raise InputError(f"`{where}` has norm {norm!r} of type {kind!r}, which is not converted; "
                         f"what is: {', '.join(NORMS)} of type {', '.join(POSITIONS)}")  # fmt: skip
    if has_decoder and not given["drop_registers"]:
        raise InputError(f"`{where}.drop_registers` must be true with a mask decoder; got false")
    heads = options(
        *(given["attn_kwargs"], f"{where}.attn_kwargs", {"num_heads": 1}),
        {"do_qk_norm": False, "do_v_norm": False, "mup": False},
        ("attn_type", "dropout", "bias"),
    )
    hidden = options(
        *(given["dense_kwargs"], f"{where}.dense_kwargs"),
        {"hidden_dim": None, "activation": "SiLU", "gated": False},
        {"mup": False},
        ("dropout", "bias"),
    )
    width = whole(given["embed_dim"], f"{where}.embed_dim")
    chosen = {
        "layers": given["num_layers"],
        "registers": given["num_registers"],
        "pool_registers": not given["drop_registers"],
        "norm": {"name": NORMS[norm][0], "learnt": NORMS[norm][1], "epsilon": EPSILON},
        "norm_position": kind,
        "gated": hidden["gated"],
        "feedforward_dim": whole(
            hidden["hidden_dim"] or 2 * width, f"{where}.dense_kwargs.hidden_dim"
        ),
        "activation": activation(hidden["activation"], f"{where}.dense_kwargs.activation"),
        "output_dim": given["out_dim"],
        "output_norm": "after",
    }
    return Encoder(heads["num_heads"], chosen, given["out_dim"] or width)


def _first_encoder(args: Mapping[str, Any], where: str) -> Encoder:
    """`TransformerEncoder`: learnt norms, the last of them before the layer to `out_dim`."""
    known: dict[str, Any] = {x: ... for x in ("num_layers", "embed_dim", "mha_config")}
    known |= {"dense_config": ..., "out_dim": 0}
    only = {"context_dim": 0, "edge_embed_dim": 0, "update_edges": False, "mup": False}
    given = options(args, where, known, only | {"muP": False})
    width, inner = whole(given["embed_dim"], f"{where}.embed_dim"), f"{where}.mha_config"
    heads = options(
        given["mha_config"], inner, {"num_heads": ..., "attention": ...}, {"out_proj": True}
    )
    module(heads["attention"], f"{inner}.attention", "ScaledDotProductAttention")
    sizes = {"input_size": width, "output_size": width}
    hidden = dense({**section(given["dense_config"], where), **sizes}, f"{where}.dense_config")
    if len(hidden.hidden) != 1:
        raise InputError(f"`{hidden.where}.hidden_layers` must be one; got {hidden.hidden}")
    chosen = {
        "layers": given["num_layers"],
        "norm": {"name": "layer_norm", "learnt": True, "epsilon": EPSILON},
        "feedforward_dim": hidden.hidden[0],
        "activation": hidden.activation,
        "output_dim": given["out_dim"] or None,
        "output_norm": "before",
    }
    return Encoder(heads["num_heads"], chosen, given["out_dim"] or width)
