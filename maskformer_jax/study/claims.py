"""Does it hold here? Published statements, confronted with the results of a study.

The statements stand beside the configuration of a study; here is what decides them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.models import Entry, tasks_of
from maskformer_jax.study.comparison import (
    BY_CHANCE,
    SIGNIFICANT,
    Difference,
    contrast,
    estimates,
    group_contrast,
    threshold,
)
from maskformer_jax.study.config import ClaimConfig, StudyConfig
from maskformer_jax.study.quantities import (
    Quantity,
    everything,
    light_rejection,
    mean_area,
    mean_width,
    recognised,
    widths,
)

# The evaluated models of a test, by name.
Entries = Mapping[str, Entry]

HOLDS, FAILS, UNDECIDED, UNKNOWN = "holds", "does not hold", "not decided", "no results"


def _first_task(entries: Entries, section: str) -> str:
    return next(iter(tasks_of(entries.values(), section)), "")


def _width_details(entries: Entries) -> list[Quantity]:
    found = [recognised(entries, task) for task in tasks_of(entries.values(), "objects")]
    return [*widths(entries, _first_task(entries, "regression")), *found]


# Name in a statement -> the quantity; and others that are shown beside it but do not decide.
QUANTITIES: dict[str, Callable[[Entries], Quantity | None]] = {
    "light_rejection": light_rejection,
    "residual_width": lambda entries: mean_width(entries, _first_task(entries, "regression")),
    "constituent_auc": lambda entries: mean_area(entries, _first_task(entries, "constituents")),
}
DETAILS = {"residual_width": _width_details}


class Verdict(NamedTuple):
    """What the results say about a statement.

    Attributes:
        claim: the statement and its source.
        verdict: one of `HOLDS`, `FAILS`, `UNDECIDED` and `UNKNOWN`.
        evidence: sentences with numbers.
        differences: the comparisons that decide.
        details: others, which do not.
    """

    claim: ClaimConfig
    verdict: str
    evidence: str
    differences: tuple[Difference, ...] = ()
    details: tuple[Difference, ...] = ()


class Models(NamedTuple):
    """The evaluated models of a test, by name, and the study that they are of."""

    study: StudyConfig
    entries: Entries

    def planned(self, names: Sequence[str]) -> list[str]:
        """Models that are named, or whose group is, evaluated or not."""
        return [n for n, model in self.study.models.items() if {n, model.group} & {*names}]

    def evaluated(self, names: Sequence[str]) -> list[str]:
        """Those of them that have results."""
        return [name for name in self.planned(names) if name in self.entries]

    def quantity(self, claim: ClaimConfig) -> Quantity | None:
        """What a statement is about; none: no model has it."""
        return QUANTITIES[claim.quantity](self.entries)


def confront(study: StudyConfig, entries: Entries) -> list[Verdict]:
    """Verdicts on all statements of a study.

    Args:
        study: with its statements.
        entries: the evaluated models by name, on one test file.
    """
    models, found = Models(study, entries), []
    for claim in study.claims.values():
        verdict = PREDICATES[claim.predicate](models, claim)
        found.append(verdict._replace(evidence=f"{verdict.evidence} {claim.remark}".strip()))
    return found


def decide(differences: Sequence[Difference], number: int | None = None) -> str:
    """The verdict on a statement that asks for all of these differences to be positive.

    It holds if each is `SIGNIFICANT`, and does not hold if one of them is as significantly
    negative as the most negative of so many would not be by chance.

    Args:
        differences: positive if they support the statement.
        number: of the comparisons of which these are the extreme; none: these are all.
    """
    if not differences:
        return UNKNOWN
    if all(d.significance >= SIGNIFICANT for d in differences):
        return HOLDS
    limit = threshold(number or len(differences))
    return FAILS if any(d.significance <= -limit for d in differences) else UNDECIDED


def larger_mean(models: Models, claim: ClaimConfig) -> Verdict:
    """The mean over some models is larger than that over others."""
    quantity = models.quantity(claim)
    plus, minus = models.evaluated(claim.of), models.evaluated(claim.against)
    if not (quantity and plus and minus):
        return _unknown(claim, quantity, "models of both kinds")

    def difference(of: Quantity) -> Difference:
        known = estimates(of.measured)
        sides = [[name for name in names if name in known] for names in (plus, minus)]
        return Difference(of.name, *group_contrast(known, *sides), of.is_ratio)

    found, known = difference(quantity), estimates(quantity.measured)
    largest = max(minus, key=lambda name: known[name].value)
    above = sum(known[name].value > known[largest].value for name in plus)
    of, against = (" and ".join(names) for names in (claim.of, claim.against))
    evidence = (
        f"Mean of {len(plus)} models ({of}) against mean of {len(minus)} ({against}): "
        f"{found.text}, {_sigmas(found)}. {above} of the {len(plus)} lie above "
        f"{models.study.label(largest)}, the highest of the others."
    )
    beside = DETAILS.get(claim.quantity, lambda entries: [])(models.entries)
    return Verdict(claim, decide([found]), evidence, (found,), tuple(map(difference, beside)))


def highest(models: Models, claim: ClaimConfig, sign: int = 1) -> Verdict:
    """One model is above all others, or below them with a `sign` of -1."""
    [name], label, quantity = claim.of, models.study.label, models.quantity(claim)
    planned, others = (
        [other for other in found if other != name]
        for found in (models.planned(claim.against), models.evaluated(claim.against))
    )
    if not (quantity and name in models.entries and others):
        return _unknown(claim, quantity, "the models")
    known, found = estimates(quantity.measured), []
    for other in others:
        pair = (label(name), label(other))[::sign]
        value = contrast(known, {name: sign, other: -sign})
        found.append(Difference(f"{pair[0]} against {pair[1]}", *value, quantity.is_ratio))
    rank = 1 + sum(sign * known[other].value > sign * known[name].value for other in others)
    closest = min(found, key=lambda difference: difference.significance)
    evidence = (
        f"In {quantity.name} {label(name)} is number {rank} of {len(others) + 1}, counted from the "
        f"{'highest' if sign > 0 else 'lowest'}. The comparison least in favour, {closest.what}: "
        f"{closest.text}, {_sigmas(closest)}; {_significant(found)} of {len(found)} comparisons "
        "are significantly in favour."
    )
    verdict = decide(found)
    if len(others) < len(planned):
        evidence += f" {len(planned) - len(others)} more have not been evaluated."
        verdict = UNDECIDED if verdict == HOLDS else verdict
    return Verdict(claim, verdict, evidence, tuple(found))


def lowest(models: Models, claim: ClaimConfig) -> Verdict:
    """One model is below all others."""
    return highest(models, claim, -1)


def option_pairs(study: StudyConfig, option: str) -> dict[str, str]:
    """Each model with an option that is not 0, and the same model without."""
    rest = {
        name: (model.configs, {k: v for k, v in model.overrides.items() if k != option})
        for name, model in study.models.items()
    }
    with_it = [name for name, model in study.models.items() if model.overrides.get(option)]
    without = [name for name in study.models if name not in with_it]
    return {name: base for name in with_it for base in without if rest[name] == rest[base]}


def option_helps(models: Models, claim: ClaimConfig) -> Verdict:
    """An option improves every quantity, averaged over the models that have it."""
    pairs = {
        name: base
        for name, base in option_pairs(models.study, claim.option).items()
        if {name, base} <= models.entries.keys()
    }
    quantities = everything(models.entries)
    if not (pairs and quantities):
        return Verdict(claim, UNKNOWN, "No model has been evaluated with and without it.")
    found, single = [], []
    for quantity in quantities:
        known = estimates(quantity.measured)
        both = {name: base for name, base in pairs.items() if {name, base} <= known.keys()}
        of_pairs = [contrast(known, {name: 1, base: -1}) for name, base in both.items()]
        single += [Difference("", *value, quantity.is_ratio) for value in of_pairs]
        if both:
            # A model may be the base of several pairs.
            weights = dict.fromkeys(both, 1 / len(both))
            for base in both.values():
                weights[base] = weights.get(base, 0.0) - 1 / len(both)
            found.append(Difference(quantity.name, *contrast(known, weights), quantity.is_ratio))
    worse = sum(d.significance <= -SIGNIFICANT for d in single)
    labels = ", ".join(map(models.study.label, pairs))
    evidence = (
        f"Averages over the pairs of {labels} and the same models without, larger being better. "
        f"{sum(d.value > 0 for d in found)} of {len(found)} quantities improve, "
        f"{_significant(found)} significantly. Of the {len(single)} "
        f"single comparisons {_significant(single)} are significantly better and {worse} "
        f"significantly worse, where {2 * BY_CHANCE * len(single):.1f} would be by chance."
    )
    return Verdict(claim, decide(found), evidence, tuple(found))


def alike(models: Models, claim: ClaimConfig) -> Verdict:
    """All models but those set apart have the same value, within a bound on their range."""
    quantity, label = models.quantity(claim), models.study.label
    known = estimates(quantity.measured) if quantity else {}
    apart = {name: known.pop(name) for name in models.planned(claim.apart) if name in known}
    if len(known) < 2:
        return Verdict(claim, UNKNOWN, "Fewer than two models have been evaluated.")
    low, *_, high = sorted(known, key=lambda name: known[name].value)
    spread = contrast(known, {high: 1, low: -1})
    what = f"{claim.bound} minus the range of the {quantity.name}"
    found = Difference(what, claim.bound - spread.value, spread.error, False)
    evidence = (
        f"The {quantity.name} of {len(known)} models lies between {known[low].value:.4f} "
        f"({label(low)}) and {known[high].value:.4f} ({label(high)}), a range of "
        f"{spread.value:.4f} ± {spread.error:.4f}; alike is a range below {claim.bound}."
    )
    for name, value in apart.items():
        evidence += f" {label(name)} has {value.value:.4f} ± {value.error:.4f}."
    # The range is the largest of the differences of all ordered pairs.
    verdict = decide([found], len(known) * (len(known) - 1))
    return Verdict(claim, verdict, evidence, (found,))


# The same names as those that `ClaimConfig` allows.
PREDICATES: dict[str, Callable[[Models, ClaimConfig], Verdict]] = {
    predicate.__name__: predicate
    for predicate in (larger_mean, highest, lowest, option_helps, alike)
}


def _unknown(claim: ClaimConfig, quantity: Quantity | None, what: str) -> Verdict:
    lacking = f"{what.capitalize()} have not been evaluated."
    return Verdict(claim, UNKNOWN, lacking if quantity else "No quantity is known.")


def _significant(differences: Sequence[Difference]) -> int:
    return sum(difference.significance >= SIGNIFICANT for difference in differences)


def _sigmas(difference: Difference) -> str:
    return f"{difference.significance:+.1f} times its uncertainty"
