"""Names of Salt's parameters, and how ours are made of them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.salt.network import Inputs

THIRDS = {"query": 0, "key": 1, "value": 2}
# Module of ours -> of Salt's; of several that fit the first counts that the checkpoint has. `{...}`
# is looked up in `Places`; `#n` is the linear layer of this number in a Sequential.
ENCODER, DECODER = r"encoder\.layers\.(\d+)", r"heads\.objects\.decoder"
LAYER = rf"{DECODER}\.layers\.(\d+)"
MODULES = [
    (r"embedding\.(\w+)\.network", r"model.init_nets.{net \1}.net.net"),
    *(
        (rf"{ENCODER}\.attention\.{word}_norm", rf"model.encoder.layers.\1.attn.fn.{word[0]}_norm")
        for word in THIRDS
    ),
    (rf"{ENCODER}\.attention", r"model.encoder.layers.\1.attn.fn"),
    (rf"{ENCODER}\.attended\.norm", r"model.encoder.layers.\1.attn.norm"),
    (rf"{ENCODER}\.attended\.norm", r"model.encoder.layers.\1.norm"),  # hybrid
    (rf"{ENCODER}\.fed_forward\.norm", r"model.encoder.layers.\1.dense.norm"),
    (r"encoder\.registers", "model.encoder.registers"),
    (r"encoder\.output", "model.encoder.out_proj"),
    (r"encoder\.norm", "model.encoder.out_norm"),
    (r"pooling\.score", "model.pool_net.gate_nn"),
    (rf"{DECODER}\.queries", "model.mask_decoder.inital_q"),
    (rf"{DECODER}\.queries_first", "model.mask_decoder.norm1"),
    (rf"{DECODER}\.constituents_first", "model.mask_decoder.norm2"),
    (rf"{LAYER}\.cross_attention", r"model.mask_decoder.layers.\1.q_ca"),
    (rf"{LAYER}\.self_attention", r"model.mask_decoder.layers.\1.q_sa"),
    (rf"{LAYER}\.update_attention", r"model.mask_decoder.layers.\1.kv_ca"),
    *(
        (rf"{ours}feedforward\.{ours_part}", rf"model.{salts}.{part}")
        for ours, salts in (
            (rf"{ENCODER}\.", r"encoder.layers.\1.dense.fn"),
            (rf"{LAYER}\.query_", r"mask_decoder.layers.\1.q_dense"),
            (rf"{LAYER}\.constituent_", r"mask_decoder.layers.\1.kv_dense"),
        )
        for ours_part, part in (("hidden", "in_proj"), ("output", "out_proj"))
    ),
    (rf"{LAYER}\.queries_behind", r"model.mask_decoder.layers.\1.norm1"),
    (rf"{LAYER}\.constituents_behind", r"model.mask_decoder.layers.\1.norm2"),
    (rf"{DECODER}\.heads\.object_class", "model.mask_decoder.class_net.net"),
    (rf"{DECODER}\.heads\.mask_token", "model.mask_decoder.mask_net.net"),
    (rf"{DECODER}\.heads\.regression", "model.tasks.{task objects}.net.net"),
    (r"heads\.(.+)\.network", r"model.tasks.{task \1}.net.net"),
    # TransformerEncoder, which Salt had to 0.11
    *(
        (rf"{ENCODER}\.attention\.{word}", rf"model.encoder.layers.\1.mha.linear_{letter}")
        for word, letter in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "out"))
    ),
    (rf"{ENCODER}\.feedforward\.hidden", r"model.encoder.layers.\1.dense.net.#0"),
    (rf"{ENCODER}\.feedforward\.output", r"model.encoder.layers.\1.dense.net.#1"),
    (rf"{ENCODER}\.attended\.norm", r"model.encoder.layers.\1.norm1"),
    (rf"{ENCODER}\.fed_forward\.norm", r"model.encoder.layers.\1.norm2"),
    (r"encoder\.output", "model.encoder.final_linear"),
    (r"encoder\.norm", "model.encoder.final_norm"),
]
LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight"}
# What a checkpoint holds beside: normalisation, weights of losses, and copies of `mask_net`.
NO_PARAMETERS = re.compile(
    r"norm\.|model\.encoder\.register_mask$|model\.tasks\.\d+\.loss\."
    r"|model\.mask_decoder\.(mask_loss\.|layers\.\d+\.mask_net\.)"
)


class Places(NamedTuple):
    """What the names of one network depend on.

    Attributes:
        nets: stream -> number of its initial network.
        tasks: our task -> number of Salt's.
        jets: inputs of the jets. Where the pooled jet has others than the constituents, our network
            gives all of them to both, and those that Salt does not have get zeros as weights.
        width: of a pooled jet without them, which stands first in heads.
        stream_heads: tasks of the constituents of a stream.
    """

    nets: Mapping[str, int]
    tasks: Mapping[str, int | None]
    jets: Inputs
    width: int
    stream_heads: frozenset[str]

    def of(self, module: str) -> str:
        """Salt's module with its numbers.

        Raises:
            InputError: a task has no parameters in Salt.
        """

        def number(match: re.Match) -> str:
            kind, name = match[1].split(" ", 1)
            return str((self.nets if kind == "net" else self.tasks)[name])

        return re.sub(r"\{(.+?)\}", number, module)

    def reads(self, path: str) -> tuple[int, list[str], bool]:
        """Where a kernel reads a jet: rows before its inputs, these, and whether ours are last."""
        if head := re.fullmatch(r"heads\.(.+)\.network\.layers\.0\.kernel", path):
            return self.width, self.jets.last, head[1] in self.stream_heads
        if re.fullmatch(r"embedding\.\w+\.network\.layers\.0\.kernel", path):
            return 0, self.jets.attached, True
        return 0, [], False

    def missing(self, path: str) -> int:
        """Rows of our kernel that Salt does not have."""
        _, fields, _ = self.reads(path)
        return len(self.jets.jet_fields) - len(fields) if fields else 0


def convert(
    state: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], places: Places
) -> dict[str, np.ndarray]:
    """Our parameters by their dotted paths.

    Args:
        state: of the checkpoint.
        shapes: of our parameters.
        places: of the network.

    Raises:
        InputError: a parameter is missing, has another shape or is not finite, or one of the
            checkpoint has no place in the network.
    """
    used, found = set(), {}
    for path, shape in shapes.items():
        name, part = _name(path, state, places)
        wanted = _of_salt(path, shape, part, places)
        if name not in state and _of_weight(name) in state:
            found[path] = np.zeros(shape, np.float32)  # a layer without bias
            continue
        if name not in state:
            raise InputError(f"the checkpoint has no parameter `{name}`, which the configuration "
                             f"asks for in the shape {wanted}")  # fmt: skip
        used.add(name)
        value = state[name]
        if value.shape != wanted:
            raise InputError(f"the parameter `{name}` has shape {value.shape} in the checkpoint "
                             f"and {wanted} in the configuration")  # fmt: skip
        with np.errstate(over="ignore"):
            finite = np.isfinite(value.astype(np.float32)).all()
        if not finite:
            raise InputError(f"the parameter `{name}` of the checkpoint is not finite")
        found[path] = _ours(value, path, part, places)
    for name in state:
        if name not in used and not NO_PARAMETERS.match(name):
            raise InputError(f"the parameter `{name}` of the checkpoint has no place in the "
                             "network of the configuration")  # fmt: skip
    return found


def _name(path: str, state: Mapping[str, np.ndarray], places: Places) -> tuple[str, int | None]:
    """Name of the parameter in Salt, and which third of it is ours."""
    fits = ((re.match(rf"{ours}(?=\.|$)", path), salt) for ours, salt in MODULES)
    found = [
        _parameter(places.of(match.expand(salt)), path[match.end() :].lstrip("."), state)
        for match, salt in fits
        if match
    ]
    return next((x for x in found if _of_weight(x[0]) in state), found[0])


def _of_weight(name: str) -> str:
    """The parameter that a bias stands beside; of another its own name."""
    return re.sub("bias$", "weight", name)


def _parameter(module: str, rest: str, state: Mapping[str, np.ndarray]) -> tuple[str, int | None]:
    """Name of a parameter of a module of Salt's, by what is left of ours."""
    if "#" in module:
        module, number = module.split(".#")
        module = f"{module}.{_linear(state, module, int(number))}"
    if not rest:
        return module, None
    *inner, leaf = rest.split(".")
    if inner[:1] == ["layers"]:  # of a Sequential, in which activations and dropout are counted
        return f"{module}.{_linear(state, module, int(inner[1]))}.{LEAVES[leaf]}", None
    if inner and inner[0] in THIRDS:
        return f"{module}.in_proj_{LEAVES[leaf]}", THIRDS[inner[0]]
    if inner == ["output"]:
        return f"{module}.out_proj.{LEAVES[leaf]}", None
    return f"{module}.{LEAVES[leaf]}", None


def _linear(state: Mapping[str, np.ndarray], module: str, number: int) -> int:
    """Place of the linear layer of this number in a Sequential."""
    names = (re.fullmatch(rf"{re.escape(module)}\.(\d+)\.weight", name) for name in state)
    found = sorted(int(match[1]) for match in names if match)
    return found[number] if number < len(found) else 2 * number


def _of_salt(
    path: str, shape: tuple[int, ...], part: int | None, places: Places
) -> tuple[int, ...]:
    """Shape of the parameter in Salt."""
    if path.endswith(".kernel"):
        shape = (shape[1], shape[0] - places.missing(path))
    return shape if part is None else (3 * shape[0], *shape[1:])


def _ours(value: np.ndarray, path: str, part: int | None, places: Places) -> np.ndarray:
    value = value.astype(np.float32)
    if part is not None:
        value = np.split(value, 3)[part]
    if not path.endswith(".kernel"):
        return value
    before, fields, is_last = places.reads(path)
    jet, inputs, rest = np.split(value.T, [before, before + len(fields)])
    if places.missing(path):
        inputs, given = np.zeros((len(places.jets.jet_fields), value.shape[0])), inputs
        inputs[[places.jets.jet_fields.index(x) for x in fields]] = given
    parts = [rest, jet, inputs] if is_last else [jet, inputs, rest]
    return np.concatenate(parts, dtype=np.float32)
