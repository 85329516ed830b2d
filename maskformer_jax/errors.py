"""The one exception that the command lines turn into a line of text and exit code 2."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something that the user gave is wrong: a file, a field, an option, a run folder.

    The message is one line: what is wrong, where, the value received and, when it is known, the
    cure. Anything that is not an `InputError` is a fault of the program and keeps its traceback.
    """


def check(condition: bool, argument: str, rule: str, value: object) -> None:
    """Raises InputError unless the condition holds: "`argument` must rule; got value"."""
    if not condition:
        raise InputError(f"`{argument}` must {rule}; got {value!r}")


def check_range(config: object, low: float, high: float, *names: str) -> None:
    """Raises InputError unless these fields of a dataclass, and what they list, are in the range.

    A field that is none is left out.
    """
    for name in names:
        value = getattr(config, name)
        for number in value if isinstance(value, list) else [value]:
            check(number is None or number >= low, name, f"be at least {low}", value)
            check(number is None or number <= high, name, f"be at most {high}", value)


def check_fraction(config: object, *names: str) -> None:
    """Raises InputError unless these fields of a dataclass are at least 0 and below 1."""
    for name in names:
        value = getattr(config, name)
        check(0 <= value < 1, name, "be in [0, 1)", value)


def check_once(names: list[str], argument: str, what: str) -> None:
    """Raises InputError where a name is listed twice: "`argument` must name `what` once"."""
    twice = sorted({name for name in names if names.count(name) > 1})
    check(not twice, argument, f"name {what} once", twice)


def nearest(name: str, names: Iterable[str]) -> str:
    """A suggestion for the end of a message, if one of the names is near; otherwise nothing.

    Names that begin like that come first, the shortest of them.

    >>> nearest("print", ["print_config", "point"]), nearest("embd", ["embed_dim", "embed"])
    ('; did you mean `print_config`?', '; did you mean `embed`?')
    """
    names = list(names)
    longer = [known for known in names if len(name) > 2 and known.startswith(f"{name}_")]
    near = sorted(longer, key=len) or difflib.get_close_matches(name, names, 1)
    return f"; did you mean `{near[0]}`?" if near else ""


def known(name: str, names: Iterable[str], what: str) -> None:
    """Raises InputError unless the name is one of those that there are; suggests the nearest.

    Args:
        name: what was given.
        names: what there is.
        what: what it is, in words: "loss of `weighting.options.weights`".
    """
    names = list(dict.fromkeys(names))
    if name in names:
        return
    hint, there = nearest(name, names), ", ".join(names) or "none"
    raise InputError(f"no {what} is called {name!r}{hint}; there are: {there}")
