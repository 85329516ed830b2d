"""YAML that nobody vouches for: text in, plain data out, and back.

Only mappings with text as keys, lists, text, integers, numbers, booleans and null are read, by the
core schema of YAML 1.2 (`1e-3` is a number; a date, `on` and `yes` are text). Tags, anchors and
aliases are refused, so that no text stands for an object or for more data than it shows.
"""

import re
from pathlib import Path

import yaml

from maskformer_jax.errors import InputError

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_NODES = 10_000
MAX_KEY = 200
# Kind of scalar -> pattern, and the characters that one begins with.
_SCALARS = {
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": ("[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    "float": (
        r"[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
}
# Keys that other readers of YAML take for true or false.
_BOOLEANS = {"on", "off", "yes", "no", "y", "n", "true", "false"}


class Text(str):
    """An override's value as typed: read once, as YAML where its place does not hold text."""


class _Loader(
    yaml.reader.Reader,
    yaml.scanner.Scanner,
    yaml.parser.Parser,
    yaml.composer.Composer,
    yaml.resolver.BaseResolver,
):
    """PyYAML's parser with the core schema, and with no constructor at all."""

    anchors_read = False

    def __init__(self, text: str):
        yaml.reader.Reader.__init__(self, text)
        for part in (yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer):
            part.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)
        self.depth = self.nodes = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        mark = event.start_mark
        named = getattr(event, "anchor", None) is not None and not self.anchors_read
        _check(not named, "anchors and aliases are not read", mark)
        _check(getattr(event, "tag", None) is None, "tags are not read", mark)
        _check(self.depth < MAX_DEPTH, f"more than {MAX_DEPTH} levels", mark)
        _check(self.nodes < MAX_NODES, f"more than {MAX_NODES} values", mark)
        self.depth, self.nodes = self.depth + 1, self.nodes + 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _ForeignLoader(_Loader):
    """Of files that others wrote: anchors, aliases, merges, and keys that are no text."""

    anchors_read = True


class _Dumper(yaml.SafeDumper):
    """Quotes whatever a reader of YAML could take for something else than text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _ForeignLoader, _Dumper):
        _class.add_implicit_resolver(_kind, re.compile(rf"(?:{_pattern})\Z"), _first)
_Dumper.add_implicit_resolver(
    "bool", re.compile(rf"(?:{'|'.join(_BOOLEANS)})\Z", re.IGNORECASE), [*"oOyYnNtTfF"]
)


def _check(condition: bool, problem: str, mark: yaml.Mark) -> None:
    if not condition:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def parse(text: str, source: str = "YAML", foreign: bool = False) -> object:
    """Plain data of one YAML document; None where it is empty.

    Args:
        text: the document.
        source: what it is, in messages.
        foreign: another program's: anchors, aliases and merges are read as what they stand for,
            and keys that are numbers or null as their text.

    Raises:
        InputError: the text is too long or deep, no YAML, or holds more than plain data.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"{source} is longer than {MAX_BYTES} bytes")
    try:
        node = (_ForeignLoader if foreign else _Loader)(text).get_single_node()
        if node is None:
            return None
        return _expanded(node, [0], 0) if foreign else _data(node)
    # ValueError: PyYAML's own numbers in escapes and directives.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise InputError(f"{source}{place}: {problem}") from error


def _data(node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    found: dict[str, object] = {}
    for key, value in node.value:
        _check_key(key)
        _check(key.value not in found, f"`{key.value}` is there twice", key.start_mark)
        found[key.value] = _data(value)
    return found


def _expanded(node: yaml.Node, seen: list[int], depth: int) -> object:
    """As `_data`, of a foreign document.

    Args:
        node: of the document; aliases share one.
        seen: number of values so far, counted here.
        depth: levels above.
    """
    seen[0] += 1
    _check(seen[0] < MAX_NODES, f"more than {MAX_NODES} values", node.start_mark)
    _check(depth < MAX_DEPTH, f"more than {MAX_DEPTH} levels", node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_expanded(item, seen, depth + 1) for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    own, merged = {}, {}
    for key, value in node.value:
        scalar = isinstance(key, yaml.ScalarNode)
        _check(scalar, "a key must be text, not a list or mapping", key.start_mark)
        _check(key.value not in own, f"`{key.value}` is there twice", key.start_mark)
        read = _expanded(value, seen, depth + 1)
        if key.value == "<<":
            parts = read if isinstance(read, list) else [read]
            good = all(isinstance(part, dict) for part in parts)
            _check(good, "`<<` must be followed by a mapping", key.start_mark)
            for part in parts:
                merged = {**part, **merged}
        else:
            own[key.value] = read
    return {**merged, **own}


def _check_key(node: yaml.Node) -> None:
    name, mark = node.value, node.start_mark
    _check(isinstance(node, yaml.ScalarNode), "a key must be text, not a list or mapping", mark)
    fits = name.isprintable() and len(name) <= MAX_KEY
    _check(fits, f"a key must have at most {MAX_KEY} printable characters", mark)
    boolean = not node.style and name.lower() in _BOOLEANS
    _check(not boolean, f"the key {name} reads as true or false: rename it or quote it", mark)
    _check(node.tag.endswith("str"), f"a key must be text; got {name}: quote it", mark)


def _scalar(node: yaml.ScalarNode) -> object:
    text = node.value
    match node.tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            _check(len(text) < 4000, f"an integer of {len(text)} digits", node.start_mark)
            return int(text)
        case "float":
            return float(re.sub(r"\.(?=[a-zA-Z])", "", text) if text[-1].isalpha() else text)
    return text


def read_file(path: Path, foreign: bool = False) -> dict[str, object]:
    """The mapping in a YAML file; {} where the file is empty.

    Args:
        path: the file.
        foreign: as for `parse`.

    Raises:
        InputError: the file is missing, no regular file, not UTF-8, or `parse` refuses it, or it
            holds something else than a mapping.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        data = parse(raw.decode("utf-8"), str(path), foreign)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    if not isinstance(data, dict | None):
        raise InputError(f"{path} must hold a mapping; got a {type(data).__name__}")
    return data or {}


def dump(data: object) -> str:
    """YAML that `parse` reads back as the same plain data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
