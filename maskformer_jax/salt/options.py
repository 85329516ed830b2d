"""Options of Salt's modules, read from plain data: what is not known is an error by its name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from maskformer_jax.errors import InputError, nearest

# Last word of a class path -> where Salt and PyTorch have it.
CLASSES = {
    "SaltModel": ("salt.models", "salt.models.saltmodel"),
    "GlobalAttentionPooling": ("salt.models", "salt.models.pooling"),
    "MaskDecoder": ("salt.models", "salt.models.maskformer"),
    "Dense": ("salt.models", "salt.models.dense"),
    "ScaledDotProductAttention": ("salt.models", "salt.models.attention"),
    "TransformerV2": ("salt.models", "salt.models.transformer_v2"),
    **dict.fromkeys(
        ("Transformer", "TransformerEncoder"), ("salt.models", "salt.models.transformer")
    ),
    **dict.fromkeys(
        ("ClassificationTask", "RegressionTask", "GaussianRegressionTask", "VertexingTask"),
        ("salt.models", "salt.models.task"),
    ),
    "RegressionTargetScaler": ("salt.utils.scalers",),
    "ModuleList": ("torch.nn", "torch.nn.modules.container"),
    **dict.fromkeys(
        (
            *("CrossEntropyLoss", "BCEWithLogitsLoss", "GaussianNLLLoss"),
            *("L1Loss", "MSELoss", "HuberLoss", "SmoothL1Loss"),
        ),
        ("torch.nn", "torch.nn.modules.loss"),
    ),
}
ACTIVATIONS = {"ReLU": "relu", "SiLU": "silu", "Mish": "mish"}


class Module(NamedTuple):
    """A module of a configuration.

    Attributes:
        kind: last word of its class path.
        args: its options.
        where: dotted path of the options.
    """

    kind: str
    args: Mapping[str, Any]
    where: str


def module(node: Any, where: str, *kinds: str) -> Module:
    """What `class_path` and `init_args` describe.

    Args:
        node: of the configuration; text is a class path without options.
        where: its dotted path.
        kinds: classes that may be there.

    Raises:
        InputError: there is nothing of that kind, or a class that is not converted.
    """
    node = {"class_path": node} if isinstance(node, str) else node
    path = node.get("class_path") if isinstance(node, Mapping) else None
    if not isinstance(path, str):
        raise InputError(f"`{where}` must be a module with a `class_path`; got {_short(node)}")
    place, _, kind = path.rpartition(".")
    # A class alone is found by Salt's parser among those that fit.
    if kind not in kinds or place not in ("", *CLASSES[kind]):
        near = nearest(kind, kinds)
        raise InputError(
            f"`{where}` is a {path}, which is not converted{near}; what is: {', '.join(kinds)}"
        )
    return Module(kind, section(node.get("init_args") or {}, f"{where}.init_args"), where)


def section(node: Any, where: str) -> Mapping[str, Any]:
    """A mapping.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(node, Mapping):
        raise InputError(f"`{where}` must be a mapping; got {_short(node)}")
    return node


def entries(node: Any, where: str) -> list[Any]:
    """A list, or one value as a list of it; none: an empty one."""
    if isinstance(node, Mapping):
        raise InputError(f"`{where}` must be a list; got {_short(node)}")
    return [] if node is None else node if isinstance(node, list) else [node]


def options(
    given: Any,
    where: str,
    known: Mapping[str, Any],
    only: Mapping[str, Any] | None = None,
    passed: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Options with their defaults.

    Args:
        given: by name; none stands for the default.
        where: dotted path of the options.
        known: name -> default, of those that are converted; for one that must be given its type,
            or ... where that does not matter.
        only: name -> the value that it must have, for those with one value that is converted.
        passed: names of those that the outputs do not depend on.

    Raises:
        InputError: an option is not known, is missing, or has a value that is not converted.
    """
    only, found = only or {}, {}
    for name, value in section(given or {}, where).items():
        if value is None or name in passed:
            continue
        if name in known:
            found[name] = _of_type(value, known[name], f"{where}.{name}")
        elif name not in only:
            near = nearest(name, [*known, *only])
            raise InputError(f"`{where}.{name}` = {_short(value)} is not converted{near}")
        elif value != only[name] or isinstance(value, bool) != isinstance(only[name], bool):
            raise InputError(
                f"`{where}.{name}` = {_short(value)} is not converted; {only[name]!r} is"
            )
    for name, default in known.items():
        if name not in found and (default is ... or isinstance(default, type)):
            raise InputError(f"`{where}.{name}` must be given; got nothing")
        found.setdefault(name, default)
    return found


def _of_type(value: Any, default: Any, where: str) -> Any:
    """The value, if it could stand in place of the default."""
    if default is ... or default is None:
        return value
    if isinstance(default, type):
        if type(value) is not default:
            raise InputError(f"`{where}` must be a {default.__name__}; got {_short(value)}")
        return value
    kinds = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
        raise InputError(f"`{where}` must be a value like {default!r}; got {_short(value)}")
    return value


def whole(value: Any, where: str) -> int:
    """A whole number of at least one.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"`{where}` must be a positive whole number; got {_short(value)}")
    return value


def real(value: Any, where: str) -> float:
    """A number.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"`{where}` must be a number; got {_short(value)}")
    return float(value)


def names(value: Any, where: str) -> list[str]:
    """Names in a list, or one alone.

    Raises:
        InputError: something else is among them.
    """
    found = entries(value, where)
    if not all(isinstance(name, str) for name in found):
        raise InputError(f"`{where}` must be names; got {_short(value)}")
    return found


def activation(name: Any, where: str) -> str:
    """Our name of an activation.

    Raises:
        InputError: it is not converted.
    """
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"`{where}` = {_short(name)} is not converted; what is: {known}")
    return ACTIVATIONS[name]


def same(found: Mapping[str, Any], what: str) -> Any:
    """The one value that several places have.

    Args:
        found: dotted path -> value.
        what: it is, in words.

    Raises:
        InputError: they differ.
    """
    (first, value), *rest = found.items()
    for where, other in rest:
        if other != value:
            raise InputError(f"{what} must be the same in `{first}` and `{where}`, which are "
                             f"{_short(value)} and {_short(other)}")  # fmt: skip
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
