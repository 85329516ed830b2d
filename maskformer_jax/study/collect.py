"""The finished runs of a study: their results, what they cost, and which are missing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.models import Entry
from maskformer_jax.evaluation.result_files import read_results
from maskformer_jax.evaluation.results import Result
from maskformer_jax.program import call_of
from maskformer_jax.study.config import StudyConfig
from maskformer_jax.study.plan import Run
from maskformer_jax.study.progress import Cost, evaluation_folder, read_cost, read_record


class Test(NamedTuple):
    """What was measured on one test file.

    Attributes:
        name: of the test in the study.
        file: name of the file.
        models: the models with at least one evaluated run, in the order of the study.
    """

    name: str
    file: str
    models: dict[str, Entry]

    @property
    def entries(self) -> list[Entry]:
        """Rows of the tables."""
        return list(self.models.values())


class Collected(NamedTuple):
    """Everything that the report is made of.

    Attributes:
        study: its configuration.
        runs: all planned runs.
        tests: those with a result.
        costs: of each model, by seed.
        missing: evaluations that are not there, as text.
    """

    study: StudyConfig
    runs: Sequence[Run]
    tests: list[Test]
    costs: dict[str, dict[int, Cost]]
    missing: list[str]

    def reference(self, test: Test) -> Entry | None:
        """The model that others are compared with, where it has been evaluated."""
        return test.models.get(self.study.reference)


def collect(study: StudyConfig, runs: Sequence[Run]) -> Collected:
    """Reads what is there; a run counts as soon as it has been evaluated.

    Args:
        study: its groups, labels and tests.
        runs: the planned ones.

    Raises:
        InputError: there is no result at all, a file is damaged, or the runs of a test were
            evaluated on different files or with different options.
    """
    tests, missing = [], []
    for name in study.tests:
        test, absent = _collect_test(study, runs, name)
        missing += absent
        if test.models:
            tests.append(test)
    if not tests:
        raise InputError(
            f"{study.output_dir}: no run has been evaluated yet; `{call_of('study')} run` first"
        )
    costs: dict[str, dict[int, Cost]] = {}
    for run in runs:
        cost = read_cost(run.folder, run.config.training.batch_size)
        if cost.seconds > 0:
            costs.setdefault(run.model, {})[run.seed] = cost
    return Collected(study, runs, tests, costs, missing)


def _collect_test(study: StudyConfig, runs: Sequence[Run], test: str) -> tuple[Test, list[str]]:
    found: dict[str, dict[int, Result]] = {}
    records: list[tuple[dict[str, Any], Path]] = []
    missing = []
    for run in runs:
        folder = evaluation_folder(run.folder, test)
        record = read_record(folder)
        if record is None:
            missing.append(f"{run.name}, on {test}")
            continue
        found.setdefault(run.model, {})[run.seed] = read_results(folder, study.label(run.model))
        records.append((record, folder))
    _check_are_alike(test, records)
    entries = {
        name: Entry(study.label(name), study.models[name].group, found[name])
        for name in _in_order(study, found)
    }
    return Test(test, records[0][0]["file"] if records else "", entries), missing


def _check_are_alike(test: str, records: Sequence[tuple[dict[str, Any], Path]]) -> None:
    """Results on other jets, or at other working points, are not beside each other in a table."""
    for record, folder in records[1:]:
        first, first_folder = records[0]
        changed = [key for key in {**first, **record} if first.get(key) != record.get(key)]
        if changed:
            raise InputError(
                f"`tests.{test}` was evaluated with different {', '.join(changed)}: see "
                f"{first_folder} and {folder}; repeat with `{call_of('study')} run --again`"
            )


def _in_order(study: StudyConfig, names: Mapping[str, object]) -> list[str]:
    """Groups in their order, and the reference first in its own."""
    models = [name for name in study.models if name in names]
    group = {name: study.groups.index(study.models[name].group) for name in models}
    return sorted(models, key=lambda name: (group[name], name != study.reference))
