"""What the numbers of test jets and of seeds allow to conclude."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from maskformer_jax.evaluation.tables.seeds import Entry, at
from maskformer_jax.study.collect import Collected, Test
from maskformer_jax.study.comparison import SIGNIFICANT, estimates, pooled_spread
from maskformer_jax.study.quantities import Quantity, everything, light_rejection


def what_was_done(collected: Collected) -> list[str]:
    """Sentences on trainings, models, seeds and tests."""
    config = collected.runs[0].config
    trained = sum(len(seeds) for seeds in collected.costs.values())
    jets = f"{config.data.train_jets:,} jets" if config.data.train_jets else "all jets of the file"
    sentences = [
        f"{len(collected.study.models)} models with {_plural(len(collected.study.seeds), 'seed')} "
        f"each are planned, {_plural(trained, 'training')} "
        f"{'is' if trained == 1 else 'are'} there.",
        f"A training sees {jets} for {_plural(config.training.epochs, 'epoch')} in batches of "
        f"{config.training.batch_size:,}; the network is {config.model.embed_dim} wide, and its "
        f"checkpoint with the best {config.training.monitor or 'first loss'} is evaluated.",
    ]
    for test in collected.tests:
        metrics, counts = next(iter(test.entries[0].seeds.values())).metrics, []
        for tagger in (at(metrics, "tagging") or {}).values():
            classes = tagger["jets"]["classes"].items()
            counts.append(f" ({', '.join(f'{number:,} {name}' for name, number in classes)})")
        sentences.append(
            f"Test {test.name}: {test.file} with {at(metrics, 'jets') or 0:,} jets"
            f"{next(iter(counts), '')}, {_plural(len(test.models), 'model')} evaluated."
        )
    return sentences


def what_it_allows(collected: Collected, test: Test) -> list[str]:
    """Sentences on errors, spreads and the smallest difference that can be seen.

    Args:
        collected: the study.
        test: whose results are discussed.
    """
    entries = test.entries
    sentences = [*_errors(entries, light_rejection(entries))]
    seeds = [len(entry.seeds) for entry in entries]
    if max(seeds) == 1:
        sentences.append(
            "Every model was trained once, so the spread between trainings of the same model is "
            "not known and not part of the errors: a difference of two of them may as well be one "
            "of two random initialisations."
        )
    else:
        sentences.append(
            "Errors from seeds are enlarged for the few degrees of freedom of their spread, which "
            "counts as the same for all models. They hold for these test jets: they say how far "
            "another initialisation would move a result, not another sample of jets."
        )
    sentences.append(
        "All models see the same test jets, so part of their fluctuations cancels in a difference; "
        "where an error comes from the number of jets, it is added as if they were independent "
        "and is rather too large. Errors at the working points of one model are taken as fully "
        "correlated."
    )
    config = collected.runs[0].config
    if config.data.train_jets:
        sentences.append(
            f"The trainings are small ({config.data.train_jets:,} jets, "
            f"{_plural(config.training.epochs, 'epoch')}): an order of methods found here need not "
            "be that of longer trainings of a larger network."
        )
    return sentences


def _errors(entries: Sequence[Entry], quantity: Quantity | None) -> list[str]:
    if quantity is None:
        return ["At no working point do ten light jets pass in every model."]
    errors = [quantity.read(results.metrics).error for e in entries for results in e.seeds.values()]
    text = (
        f"The {quantity.name} of one training is known to {100 * np.median(errors):.1f} % from the "
        "number of test jets"
    )
    spread = pooled_spread(entries, quantity.read)
    if not math.isnan(spread.value):
        text += (
            f", and differs by {100 * spread.value:.1f} % (standard deviation) between seeds of "
            f"the same model, measured with {spread.freedom} degrees of freedom"
        )
    return [f"{text}."]


def resolution(test: Test) -> list[str]:
    """For each quantity the difference of two models that is `SIGNIFICANT` times its error."""
    return [_resolution(test.models, quantity) for quantity in everything(test.entries)]


def _resolution(models: Mapping[str, Entry], quantity: Quantity) -> str:
    error = float(np.median([e.error for e in estimates(models, quantity.read).values()]))
    smallest = SIGNIFICANT * math.sqrt(2) * error
    size = f"{100 * math.expm1(smallest):.1f} %" if quantity.is_ratio else f"{smallest:.2g}"
    return f"{quantity.name}: {size}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
