"""Text to plain data: what is read as what, what is refused, and that writing is the inverse."""

import re

import pytest

from maskformer_jax.configuration.safe_yaml import MAX_BYTES, dump, parse, read_file
from maskformer_jax.errors import InputError

SCALARS = {
    "1e-3": 0.001,
    "1": 1,
    "-7": -7,
    "1.": 1.0,
    ".5": 0.5,
    "+.inf": float("inf"),
    "-.INF": -float("inf"),
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "": None,
    "2024-01-01": "2024-01-01",
    "12:30": "12:30",
    "on": "on",
    "no": "no",
    "007": "007",
    "0x10": "0x10",
    "1_000": "1_000",
    "none": "none",
    "'5'": "5",
    "=": "=",
    "<<": "<<",
}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars(text, value):
    found = parse(text)
    assert found == value and type(found) is type(value)


LAUGHS = "a: &a [x, x]\n" + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in ["ab", "bc", "cd"])
REFUSED = {
    "!!python/object/apply:os.system [ls]": "line 1: tags are not read",
    "!!python/name:os.system": "tags are not read",
    "a: !!str 5": "tags are not read",
    "a: ! 5": "tags are not read",
    "%TAG ! tag:x\n---\n!a b": "tags are not read",
    LAUGHS: "line 1: anchors and aliases are not read",
    "a: [*b]": "line 1: anchors and aliases are not read",
    "<<: &a {b: 1}": "anchors and aliases are not read",
    "[" * 30: "more than 20 levels",
    "- " * 30: "more than 20 levels",
    "[" + "1," * 10_001 + "]": "more than 10000 values",
    "x" * (MAX_BYTES + 1): "longer than 1000000 bytes",
    "1" * 5000: "an integer of 5000 digits",
    "a: 1\nb:\n  c: 1\n  c: 2": "line 4: `c` is there twice",
    "{a: 1, 'a': 2}": "`a` is there twice",
    "on: 1": "the key on reads as true or false",
    "true: 1": "the key true reads as true or false",
    "a: {No: 1}": "the key No reads as true or false",
    "5: 1": "a key must be text; got 5: quote it",
    "null: 1": "a key must be text; got null",
    "[a]: 1": "a key must be text, not a list or mapping",
    '"a\\nb": 1': "printable characters",
    f"{'k' * 201}: 1": "at most 200 printable characters",
    "a: [1": "line 1: expected",
    "a: b: c": "line 1: mapping values are not allowed here",
    "a\n---\nb": "but found another document",
    '"\\UFFFFFFFF"': "f.yaml: ",
    f"%YAML 1.{'1' * 5000}\n---\na": "f.yaml",
    "a: \x07": "special characters are not allowed",
    "a: 'b\nc": "while",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_refused_in_one_line(text, message):
    with pytest.raises(InputError) as caught:
        parse(text, "f.yaml")
    found = str(caught.value)
    assert message in found or (message == "while" and "f.yaml, line" in found)
    assert found.startswith("f.yaml") and "\n" not in found and len(found) < 300


def test_a_quoted_key_may_look_like_a_boolean():
    assert parse("{'on': 1, \"5\": 2}") == {"on": 1, "5": 2}


DATA = [
    {"on": "off", "5": "1e-3", "x": ["", "~", "null", "2024-01-01", "0x1", "12:30", "=", "<<"]},
    {"a": {}, "b": [], "c": None, "d": [True, 0, -1, 1.0, 1e-7, 1e300, 5e-324]},
    {"a": "two\nlines", "b": " x ", "c": "#", "d": "a: b", "e": "é", "f": "!!x", "g": "&a *b"},
    {"y": 1, "N": 2, "No": "y", "ON": "yes"},
    {"inf": [float("inf"), -float("inf")], "same": [[1, 2]] * 2, "none": "none"},
]


@pytest.mark.parametrize("data", DATA)
def test_what_is_written_reads_back_the_same(data):
    assert parse(dump(data)) == data


def test_files(tmp_path):
    files = {
        "empty": (b"", {}),
        "comment": (b"# nothing", {}),
        "list": (b"[1]", "list must hold a mapping; got a list"),
        "latin": ("a: 1\nb: é".encode("latin1"), "latin, line 2: not UTF-8 text"),
        "long": (b"#" * (MAX_BYTES + 1), "long is longer than 1000000 bytes"),
    }
    for name, (content, expected) in files.items():
        (tmp_path / name).write_bytes(content)
        if isinstance(expected, dict):
            assert read_file(tmp_path / name) == expected
        else:
            with pytest.raises(InputError, match=re.escape(expected)):
                read_file(tmp_path / name)
    for path, message in ((tmp_path, "not a file"), (tmp_path / "none", "no such file")):
        with pytest.raises(InputError, match=message):
            read_file(path)


FOREIGN = {
    "an alias is what it stands for": ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
    "a merge gives way to what is there": ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}",
                                           {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}}),
    "the first of several merges wins": ("a: {<<: [{p: 1}, {p: 2, q: 2}]}",
                                         {"a": {"p": 1, "q": 2}}),
    "keys are text": ("{0: a, null: b, yes: c}", {"0": "a", "null": "b", "yes": "c"}),
}  # fmt: skip
LAUGHS = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
LAUGHS += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
FOREIGN_REFUSED = {
    "itself": ("a: &x [*x]", "more than 20 levels"),
    "more than it shows": ("\n".join(LAUGHS), "more than 10000 values"),
    "a tag": ("a: !!python/name:os.system x", "tags are not read"),
    "twice": ("{a: 1, a: 2}", "`a` is there twice"),
    "a merge of a number": ("a: {<<: 3}", "followed by a mapping"),
    "a list as a key": ("? [1]\n: 2", "a key must be text"),
}


@pytest.mark.parametrize(("text", "expected"), FOREIGN.values(), ids=FOREIGN)
def test_files_of_others_are_read_as_what_they_stand_for(text, expected):
    assert parse(text, foreign=True) == expected


@pytest.mark.parametrize(("text", "said"), FOREIGN_REFUSED.values(), ids=FOREIGN_REFUSED)
def test_files_of_others_hold_plain_data_alone(text, said):
    with pytest.raises(InputError, match=said):
        parse(text, foreign=True)
