"""Everything that is measured on a test file, section by section and task by task."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from maskformer_jax.data import JetFile
from maskformer_jax.data.schema import Axis
from maskformer_jax.evaluation import baseline, regression, vertex_finding
from maskformer_jax.evaluation.constituents import ConstituentsSection
from maskformer_jax.evaluation.objects import ObjectsSection
from maskformer_jax.evaluation.results import Result
from maskformer_jax.evaluation.section import Chunk, Section, Setting
from maskformer_jax.evaluation.tagging import TaggingSection, fitting
from maskformer_jax.evaluation.trained import Trained
from maskformer_jax.tasks.task import Task


def _classified(axis: Axis, section: type[Section]) -> Callable[[Setting, Task], Section | None]:
    """Builds a section for the classes of jets, or of the constituents of a stream."""

    def build(setting: Setting, task: Task) -> Section | None:
        fits = setting.axis(task) == axis and setting.has(task.options.label)
        return section(setting, task) if fits else None

    return build


def _objects(setting: Setting, task: Task) -> Section | None:
    loss = task.options.losses.object_class
    has_truth = loss is not None and setting.has(task.options.objects, loss.label)
    return ObjectsSection(setting, task) if has_truth else None


class Row(NamedTuple):
    """A section of the evaluation.

    Attributes:
        section: its name in metrics.json and curves.json.
        kind: of the tasks that it is made for.
        build: `build(setting, task)`; none where task or file does not have what it needs.
    """

    section: str
    kind: str
    build: Callable[[Setting, Task], Section | None]


# In the order of the report. A kind of task that is not here is predicted only.
SECTIONS = (
    Row("tagging", "classification", _classified("jets", TaggingSection)),
    Row("vertexing", "objects", vertex_finding.of_masks),
    Row("vertexing", "edges", vertex_finding.of_edges),
    Row("constituents", "classification", _classified("stream", ConstituentsSection)),
    Row("objects", "objects", _objects),
    Row("regression", "objects", regression.build),
    Row("regression", "regression", regression.build),
)


def setting_of(trained: Trained, file: JetFile) -> Setting:
    """What the sections of a test file are built with."""
    model = trained.model
    return Setting(trained.config, model.tasks, model.schema, file.labels, trained.baseline)


class Tally:
    """The sections of the evaluation, which see the test file together."""

    def __init__(self, setting: Setting):
        """Starts empty."""
        self._jets = 0
        self.sections: dict[str, dict[str, Section]] = {}
        for name, kind, build in SECTIONS:
            for task in setting.tasks:
                section = build(setting, task) if task.options.kind == kind else None
                if section is not None:
                    self.sections.setdefault(name, {})[task.name] = section

    def add(self, chunk: Chunk) -> None:
        """Takes in some jets."""
        self._jets += len(chunk.records.jets)
        for tasks in self.sections.values():
            for section in tasks.values():
                section.add(chunk)

    def result(self, label: str, test_file: str, left_out: Sequence[str] = ()) -> Result:
        """What was measured.

        Args:
            label: of the run.
            test_file: path of the jets.
            left_out: what could not be measured, a sentence each.
        """
        sections = {
            name: {task: section.part() for task, section in tasks.items()}
            for name, tasks in self.sections.items()
        }
        return Result(label, self._jets, sections, test_file, left_out)


def left_out(setting: Setting, missing: Mapping[str, str], jet_fields: Sequence[str]) -> list[str]:
    """What the configuration asks for and the evaluation does not have, a line each.

    Args:
        setting: of the test file.
        missing: labels that the file lacks -> what of them.
        jet_fields: fields of the jets in the file.
    """
    options, lines = setting.config.evaluation, []
    if missing:
        reasons = ", ".join(f"{label} ({reason})" for label, reason in missing.items())
        lines.append(f"not in the file, and left out with all that needs it: {reasons}")
    for option, word in (("jet_pt", "pT"), ("jet_eta", "eta")):
        if (field := getattr(options.fields, option)) not in jet_fields:
            lines.append(
                f"the jets have no field `{field}`, so curves against {word} are empty; "
                f"name it by `--evaluation.fields.{option}`"
            )
    jets = [task for task in setting.tasks if setting.axis(task) == "jets"]
    classified = [task for task in jets if task.options.kind == "classification"]
    tagged = {n for task in classified for n in fitting(setting, setting.classes(task))}
    unused = [name for name in options.discriminants if name not in tagged]
    if unused:
        lines.append(f"no task has the classes of the discriminants {', '.join(unused)}")
    labels = [task.options.label for task in classified]
    if options.baseline and not baseline.fits(options.baseline, setting.config.data, labels):
        lines.append("no task has the classes of the baseline")
    return lines
