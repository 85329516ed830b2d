"""What the numbers of test jets and of seeds allow to conclude."""

import math

import numpy as np

from maskformer_jax.evaluation.names import plural
from maskformer_jax.evaluation.results import Result
from maskformer_jax.evaluation.tagging import ALL, JETS, UNLABELLED
from maskformer_jax.study.collect import Collected, Test
from maskformer_jax.study.comparison import SIGNIFICANT, estimates, pooled_spread
from maskformer_jax.study.quantities import everything, light_rejection


def tests_done(collected: Collected) -> list[str]:
    """A sentence on each test."""
    sentences = []
    for test in collected.tests:
        result = next(iter(test.entries[0].seeds.values()))
        sentences.append(
            f"Test {test.name}: {test.file} with {plural(result.jets, 'jet')}{_by_class(result)}, "
            f"{plural(len(test.models), 'model')} evaluated."
        )
    return sentences


def _by_class(result: Result) -> str:
    """Numbers of jets of the first classification that knows them."""
    for part in result.sections.get("tagging", {}).values():
        for table in part.tables:
            counts = [
                f"{table.get(row, JETS).value:,} {label}"
                for row, label in table.rows.items()
                if table.get(row, JETS) and row not in (ALL, UNLABELLED)
            ]
            if counts:
                return f" ({', '.join(counts)})"
    return ""


def precision(test: Test) -> str:
    """How well the rejection of light jets is known."""
    quantity = light_rejection(test.models)
    if quantity is None:
        return "At no working point do ten light jets pass in every model."
    text = (
        f"The {quantity.name} of one training is known to "
        f"{100 * np.median(quantity.measured['error']):.1f} % from the number of test jets"
    )
    spread = pooled_spread(quantity.measured)
    if not math.isnan(spread.value):
        text += (
            f", and differs by {100 * spread.value:.1f} % (standard deviation) between seeds of "
            f"the same model, measured with {spread.freedom} degrees of freedom"
        )
    return f"{text}."


def resolution(test: Test) -> list[str]:
    """For each quantity the difference of two models that is `SIGNIFICANT` times its error."""
    found = []
    for name, measured, is_ratio in everything(test.models):
        error = float(np.median([e.error for e in estimates(measured).values()]))
        smallest = SIGNIFICANT * math.sqrt(2) * error
        size = f"{100 * math.expm1(smallest):.1f} %" if is_ratio else f"{smallest:.2g}"
        found.append(f"{name}: {size}")
    return found
