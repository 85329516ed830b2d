"""Names of classes and entries as they are written in files, tables and pictures."""

import re
from collections.abc import Mapping
from typing import Any

# What is measured, in words: its one name in tables, pictures and sentences, by its key in
# metrics.json. What it is of is said by the title of the table.
WORDS = {
    **{key: key for key in ("accuracy", "precision", "recall", "efficiency", "purity", "share")},
    **{key: key for key in ("of", "true", "predicted", "obtained", "cut", "median", "mean")},
    **{key: key.upper() for key in ("auc", "f1", "tpr", "fpr", "fnr", "tnr")},
    "with_vertex": "vertex rate",
    "half_width_68": "half 68 % width",
    "correlation": "correlation",
    "rank_correlation": "rank correlation",
    "std": "std. dev.",
}
# Where the customary name is not the class without `jets`.
SPOKEN = {"ujets": "light"}
IN_FILES = {"taujets": "taus"}


def in_file_name(label: str) -> str:
    """A label as part of the name of a file or of a link, without signs that mean something there.

    >>> in_file_name("p/q <b>"), in_file_name("Loss-based & more")
    ('p_q_b', 'Loss-based_more')
    """
    return re.sub(r"[^\w.+=-]+", "_", label).strip("_")


def short(class_name: str) -> str:
    """A class of jets in a few letters.

    >>> short("bjets"), short("hbb")
    ('b', 'hbb')
    """
    return class_name.removesuffix("jets")


def spoken(class_name: str) -> str:
    """A class of jets in words, before `jets` or `rejection`.

    >>> spoken("ujets"), spoken("cjets")
    ('light', 'c')
    """
    return SPOKEN.get(class_name, short(class_name))


def jets_in_formula(class_name: str) -> str:
    """A class of jets in a picture, before `s`, `rejection` or `efficiency`.

    >>> jets_in_formula("ujets"), jets_in_formula("cjets"), jets_in_formula("h__b")
    ('light-jet', '$c$-jet', 'h__b-jet')
    """
    if class_name in SPOKEN or not class_name.isalnum():
        return f"{spoken(class_name)}-jet"
    return f"${short(class_name)}$-jet"


def probability(class_name: str, of_jets: bool) -> str:
    """The field of a class in a prediction file, as Salt names it.

    >>> probability("taujets", True), probability("fromB", False)
    ('ptaus', 'pFromB')
    """
    if of_jets:
        return f"p{IN_FILES.get(class_name, short(class_name))}"
    return f"p{class_name[:1].upper()}{class_name[1:]}"


def camel(task: str) -> str:
    """A task as a part of a name, as Athena writes them.

    >>> camel("track_origin")
    'TrackOrigin'
    """
    return "".join(word[:1].upper() + word[1:] for word in task.split("_"))


def plural(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> plural(1, "jet"), plural(1234, "jet")
    ('1 jet', '1,234 jets')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def singular(entries: str) -> str:
    """One of some entries.

    >>> singular("hadrons")
    'hadron'
    """
    return entries.removesuffix("s")


def fraction_symbols(fractions: Mapping[str, float], symbol: str = "f_{}") -> list[str]:
    """The fractions of a discriminant; one of two says it all.

    >>> fraction_symbols({"cjets": 0.1, "ujets": 0.9})
    ['f_c = 0.1']
    >>> fraction_symbols({"h__b": 1.0}, "$f_{{{}}}$")
    ['$f_{h b}$ = 1']
    """
    shown = list(fractions.items())[: 1 if len(fractions) == 2 else None]
    # Signs that may not stand in a subscript are a blank.
    words = (" ".join(re.findall(r"[^\W_]+", short(name))) for name, _ in shown)
    return [f"{symbol.format(x)} = {value:g}" for x, (_, value) in zip(words, shown, strict=True)]


def in_words(*keys: str) -> dict[str, str]:
    """Keys with their words, as the columns or rows of a table.

    >>> in_words("auc", "std")
    {'auc': 'AUC', 'std': 'std. dev.'}
    """
    return {key: WORDS[key] for key in keys}


def heading(text: str, task: str, parts: Mapping[str, Any]) -> str:
    """A title with the name of the task behind it, unless the task is alone."""
    return f"{text} ({task})" if len(parts) > 1 else text
