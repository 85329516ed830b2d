"""Does it hold here? Statements of the thesis, confronted with the results of a study."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from maskformer_jax.evaluation.tables.seeds import Entry, keys_at
from maskformer_jax.study.comparison import (
    BY_CHANCE,
    SIGNIFICANT,
    Difference,
    Estimate,
    contrast,
    estimates,
    group_contrast,
    threshold,
)
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.study.quantities import (
    Quantity,
    everything,
    light_rejection,
    mean_area,
    mean_width,
    recognised,
    widths,
)

HOLDS, FAILS, UNDECIDED, UNKNOWN = "holds", "does not hold", "not decided", "no results"
LOSS, GRADIENT = "Loss-based", "Grad-based"
# Models that statements name, as in configs/study/thesis.yaml.
DWA, FAMO = "dwa", "famo"
# End of the option that adds Poly-1 to a loss of masks, after the name of the task.
POLY = ".poly_epsilon"
# Two scores agree "to two decimal places" when they are closer than this.
SAME_SCORE = 0.01


class Verdict(NamedTuple):
    """What the results say about a statement.

    Attributes:
        claim: the statement.
        source: where the thesis makes it.
        verdict: one of `HOLDS`, `FAILS`, `UNDECIDED` and `UNKNOWN`.
        evidence: sentences with numbers.
        differences: the comparisons that decide.
        details: others, which do not.
    """

    claim: str
    source: str
    verdict: str
    evidence: str
    differences: tuple[Difference, ...] = ()
    details: tuple[Difference, ...] = ()


class Models(NamedTuple):
    """The models of a test, by name, and what the study says of them."""

    study: StudyConfig
    entries: Mapping[str, Entry]

    def of(self, group: str) -> list[str]:
        """Names of the evaluated models of a group."""
        return [name for name, entry in self.entries.items() if entry.group == group]

    def planned(self, group: str) -> list[str]:
        """Names of all models of a group, evaluated or not."""
        return [name for name, model in self.study.models.items() if model.group == group]

    def label(self, name: str) -> str:
        """Of a model."""
        return self.study.label(name)


def confront(study: StudyConfig, entries: Mapping[str, Entry]) -> list[Verdict]:
    """Verdicts on all statements.

    Args:
        study: with the groups and names of configs/study/thesis.yaml; statements about models that
            it lacks are left out.
        entries: the evaluated models by name, on one test file.
    """
    models = Models(study, entries)
    groups = {model.group for model in study.models.values()}
    statements = [
        (gradient_above_loss, {LOSS, GRADIENT} <= groups),
        (dwa_is_best, DWA in study.models and LOSS in groups),
        (poly_helps, bool(poly_pairs(study))),
        (regression_suffers, {LOSS, GRADIENT} <= groups),
        (origin_is_indifferent, {LOSS, GRADIENT} <= groups),
        (famo_is_worst, FAMO in study.models),
    ]
    return [judge(models) for judge, is_meant in statements if is_meant]


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


def gradient_above_loss(models: Models) -> Verdict:
    """Gradient-based methods reject more light jets than loss-based ones."""
    claim = "Gradient-based methods are above loss-based methods in light-jet rejection."
    source = "Section 5.6.1, Table 5.1"
    quantity = light_rejection(list(models.entries.values()))
    plus, minus = models.of(GRADIENT), models.of(LOSS)
    if not (quantity and plus and minus):
        return Verdict(claim, source, UNKNOWN, _lacking(quantity, "models of both groups"))
    known = estimates(models.entries, quantity.read)
    found = _group_difference(quantity, known, plus, minus)
    best = max(minus, key=lambda name: known[name].value)
    above = sum(known[name].value > known[best].value for name in plus)
    evidence = (
        f"Mean of {len(plus)} gradient-based models against mean of {len(minus)} loss-based ones: "
        f"{found.text}, {_sigmas(found)}. {above} of the {len(plus)} lie above "
        f"{models.label(best)}, the best loss-based one."
    )
    return Verdict(claim, source, decide([found]), evidence, (found,))


def dwa_is_best(models: Models) -> Verdict:
    """DWA rejects more light jets than every other loss-based method."""
    claim = "DWA is the best loss-based method in light-jet rejection."
    return _one_against_all(models, claim, "Section 5.6.1, Table 5.1", DWA, models.planned(LOSS), 1)


def famo_is_worst(models: Models) -> Verdict:
    """FAMO rejects fewer light jets than every other method and the reference."""
    claim = "FAMO is the worst method in light-jet rejection."
    rivals = [*models.planned(LOSS), *models.planned(GRADIENT), models.study.reference]
    return _one_against_all(models, claim, "Section 5.6.1, Table 5.1", FAMO, rivals, -1)


def _one_against_all(
    models: Models, claim: str, source: str, name: str, rivals: Sequence[str], sign: int
) -> Verdict:
    """A superlative: `sign` times the rejection of a model is above that of all its rivals."""
    planned = [other for other in dict.fromkeys(rivals) if other != name]
    others = [other for other in planned if other in models.entries]
    quantity = light_rejection(list(models.entries.values()))
    if not (quantity and name in models.entries and others):
        return Verdict(claim, source, UNKNOWN, _lacking(quantity, "the models"))
    known, label = estimates(models.entries, quantity.read), models.label(name)
    found = []
    for other in others:
        pair = (label, models.label(other))[::sign]
        value = contrast(known, {name: sign, other: -sign})
        found.append(Difference(f"{pair[0]} against {pair[1]}", *value, quantity.is_ratio))
    rank = 1 + sum(sign * known[other].value > sign * known[name].value for other in others)
    closest = min(found, key=lambda difference: difference.significance)
    evidence = (
        f"In {quantity.name} {label} is number {rank} of {len(others) + 1}, counted from the "
        f"{'best' if sign > 0 else 'worst'}. The comparison least in favour, {closest.what}: "
        f"{closest.text}, {_sigmas(closest)}; {_significant(found)} of {len(found)} comparisons "
        "are significantly in favour."
    )
    verdict = decide(found)
    if len(others) < len(planned):
        evidence += f" {len(planned) - len(others)} more have not been evaluated."
        verdict = UNDECIDED if verdict == HOLDS else verdict
    return Verdict(claim, source, verdict, evidence, tuple(found))


def poly_pairs(study: StudyConfig) -> dict[str, str]:
    """Each model with Poly-1 in its mask loss, and the same model without."""
    poly, without = {}, {}
    for name, model in study.models.items():
        others = {k: v for k, v in model.overrides.items() if not k.endswith(POLY)}
        place = (
            poly if any(model.overrides[k] for k in model.overrides.keys() - others) else without
        )
        place[name] = (tuple(model.configs), repr(sorted(others.items())))
    bases = {key: name for name, key in without.items()}
    return {name: bases[key] for name, key in poly.items() if key in bases}


def poly_helps(models: Models) -> Verdict:
    """Poly-1 improves every task."""
    claim = "Poly-1 helps everything."
    source = "Sections 5.6.1, 5.6.5 and 6.1, Tables 5.1 to 5.5"
    pairs = {
        poly: base
        for poly, base in poly_pairs(models.study).items()
        if {poly, base} <= models.entries.keys()
    }
    quantities = everything(list(models.entries.values()))
    if not (pairs and quantities):
        return Verdict(claim, source, UNKNOWN, "No model has been evaluated with and without it.")
    found, single = [], []
    for quantity in quantities:
        known = estimates(models.entries, quantity.read)
        both = {poly: base for poly, base in pairs.items() if {poly, base} <= known.keys()}
        of_pairs = [contrast(known, {poly: 1, base: -1}) for poly, base in both.items()]
        single += [Difference("", *value, quantity.is_ratio) for value in of_pairs]
        if both:
            # A model may be the base of several pairs.
            weights = dict.fromkeys(both, 1 / len(both))
            for base in both.values():
                weights[base] = weights.get(base, 0.0) - 1 / len(both)
            found.append(Difference(quantity.name, *contrast(known, weights), quantity.is_ratio))
    worse = sum(d.significance <= -SIGNIFICANT for d in single)
    labels = ", ".join(models.label(name) for name in pairs)
    evidence = (
        f"Averages over the pairs of {labels} and the same models without, larger being better. "
        f"{sum(d.value > 0 for d in found)} of {len(found)} quantities improve, "
        f"{_significant(found)} significantly. Of the {len(single)} "
        f"single comparisons {_significant(single)} are significantly better and {worse} "
        f"significantly worse, where {2 * BY_CHANCE * len(single):.1f} would be by chance."
    )
    return Verdict(claim, source, decide(found), evidence, tuple(found))


def regression_suffers(models: Models) -> Verdict:
    """Residuals of hadron properties are wider with gradient-based methods than loss-based ones."""
    claim = "Regression suffers under gradient-based methods."
    source = "Sections 5.6.4, 5.6.5 and 6.1, Table 5.5"
    entries = list(models.entries.values())
    (task, *_) = keys_at(entries, "regression") or [""]
    quantity = mean_width(entries, task)
    plus, minus = models.of(GRADIENT), models.of(LOSS)
    if not (quantity and plus and minus):
        return Verdict(claim, source, UNKNOWN, _lacking(quantity, "models of both groups"))
    found = _group_difference(quantity, estimates(models.entries, quantity.read), plus, minus)
    details = [
        _group_difference(q, estimates(models.entries, q.read), plus, minus)
        for q in (
            *widths(entries, task),
            *(recognised(entries, name) for name in keys_at(entries, "objects")),
        )
    ]
    evidence = (
        f"Width with {len(plus)} gradient-based models against {len(minus)} loss-based ones: "
        f"{found.text}, {_sigmas(found)}; positive is worse. Only hadrons that a model finds "
        "enter, so a model that leaves out the hard ones looks better than it is."
    )
    return Verdict(claim, source, decide([found]), evidence, (found,), tuple(details))


def origin_is_indifferent(models: Models) -> Verdict:
    """All models but FAMO classify track origins equally well, to two decimal places."""
    claim = "Track origin is indifferent to the weighting, FAMO apart."
    source = "Section 5.6.3, Tables 5.2 and D.1"
    (task, *_) = keys_at(list(models.entries.values()), "constituents") or [""]
    known = estimates(models.entries, mean_area(task).read)
    famo = known.pop(FAMO, None)
    if len(known) < 2:
        return Verdict(claim, source, UNKNOWN, "Fewer than two models have been evaluated.")
    low, high = (pick(known, key=lambda name: known[name].value) for pick in (min, max))
    spread = contrast(known, {high: 1, low: -1})
    found = Difference(
        f"{SAME_SCORE} minus the range of the AUC", SAME_SCORE - spread.value, spread.error, False
    )
    evidence = (
        f"The weighted AUC of {len(known)} models lies between {known[low].value:.4f} "
        f"({models.label(low)}) and {known[high].value:.4f} ({models.label(high)}), a range of "
        f"{spread.value:.4f} ± {spread.error:.4f}; indifferent is a range below {SAME_SCORE}."
    )
    if famo is not None:
        evidence += f" FAMO has {famo.value:.4f} ± {famo.error:.4f}."
    # The range is the largest of the differences of all ordered pairs.
    verdict = decide([found], len(known) * (len(known) - 1))
    return Verdict(claim, source, verdict, evidence, (found,))


def _group_difference(
    quantity: Quantity, known: Mapping[str, Estimate], plus: Sequence[str], minus: Sequence[str]
) -> Difference:
    plus = [name for name in plus if name in known]
    minus = [name for name in minus if name in known]
    return Difference(quantity.name, *group_contrast(known, plus, minus), quantity.is_ratio)


def _significant(differences: Sequence[Difference]) -> int:
    return sum(difference.significance >= SIGNIFICANT for difference in differences)


def _sigmas(difference: Difference) -> str:
    return f"{difference.significance:+.1f} times its uncertainty"


def _lacking(quantity: Quantity | None, what: str) -> str:
    return f"{what.capitalize()} have not been evaluated." if quantity else "No quantity is known."
