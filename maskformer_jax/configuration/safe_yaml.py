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
MAX_KEY = 200
_CORE = {
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": ("true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
}
# Keys that other readers of YAML take for true or false.
_BOOLEAN_WORDS = {"on", "off", "yes", "no", "y", "n", "true", "false"}


class Text(str):
    """An override's value as typed: read once, as YAML where its place does not hold text."""


class _Refused(yaml.MarkedYAMLError):
    pass


class _Loader(
    yaml.reader.Reader,
    yaml.scanner.Scanner,
    yaml.parser.Parser,
    yaml.composer.Composer,
    yaml.resolver.BaseResolver,
):
    """PyYAML's parser with the core schema, and with no constructor at all."""

    def __init__(self, text: str):
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)
        self.depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        rules = {
            "anchors and aliases are not read": getattr(event, "anchor", None) is not None,
            "tags are not read": getattr(event, "tag", None) is not None,
            f"more than {MAX_DEPTH} levels": self.depth >= MAX_DEPTH,
        }
        for problem, broken in rules.items():
            if broken:
                raise _Refused(problem=problem, problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes what any reader of YAML could take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


for _name, (_pattern, _first) in _CORE.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first
        )


def parse(text: str, source: str = "YAML") -> object:
    """Plain data of a text; None where it is empty.

    Args:
        text: one YAML document.
        source: what the text is, in messages.

    Raises:
        InputError: the text is too long or deep, no YAML, or holds more than plain data.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"{source} is longer than {MAX_BYTES} bytes")
    try:
        node = _Loader(text).get_single_node()
        return None if node is None else _data(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{source}{place}: {' '.join(str(error.problem).split())}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{source}: {' '.join(str(error).split())}") from error


def _data(node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key_node, value in node.value:
            key = _key(key_node)
            if key in found:
                raise _Refused(problem=f"`{key}` is there twice", problem_mark=key_node.start_mark)
            found[key] = _data(value)
        return found
    return _scalar(node)


def _key(node: yaml.Node) -> str:
    key, problem = node.value, None
    if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":str"):
        problem = f"a key must be text; got {'a list or mapping' if node.id != 'scalar' else key}"
    if isinstance(key, str) and node.style is None and key.lower() in _BOOLEAN_WORDS:
        problem = f"the key {key} reads as true or false: put it in quotes or call it otherwise"
    if problem is None and not (key.isprintable() and len(key) <= MAX_KEY):
        problem = f"a key must be at most {MAX_KEY} printable characters; got {key[:50]!r}"
    if problem:
        raise _Refused(problem=problem, problem_mark=node.start_mark)
    return key


def _scalar(node: yaml.ScalarNode) -> object:
    text, kind = node.value, node.tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "str":
        return text
    try:
        return int(text) if kind == "int" else float(text.lower().replace(".inf", "inf"))
    except ValueError as error:
        if text.lower() == ".nan":
            return float("nan")
        problem = f"a number of {len(text)} digits can't be read"
        raise _Refused(problem=problem, problem_mark=node.start_mark) from error


def read_file(path: Path) -> dict[str, object]:
    """The mapping in a YAML file; {} where the file is empty.

    Raises:
        InputError: the file is missing, no regular file, not UTF-8, or `parse` refuses it, or it
            holds something else than a mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path} is longer than {MAX_BYTES} bytes")
        data = parse(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text") from error
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    if data is not None and not isinstance(data, dict):
        raise InputError(f"{path}: must hold a mapping; got {type(data).__name__}")
    return data or {}


def dump(data: object) -> str:
    """YAML that `parse` reads back as the same plain data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
