"""Which tasks and classes of a model an event display shows."""

from collections.abc import Sequence
from typing import NamedTuple

from maskformer_jax.config import Config
from maskformer_jax.evaluation.section import Setting
from maskformer_jax.tasks.task import Task
from maskformer_jax.types import JETS


class Classes(NamedTuple):
    """A classification: its task, label and classes; none of these where there is no such."""

    task: str = ""
    label: str = ""
    names: Sequence[str] = ()


class Names(NamedTuple):
    """What is shown of a model, by the names in its configuration.

    Attributes:
        config: of the run.
        stream: of the constituents of the objects.
        objects: their entry in the data.
        of: classes of the objects.
        targets: their properties.
        jets: classes of the jets.
        origin: classes of the constituents.
    """

    config: Config
    stream: str
    objects: str
    of: Classes
    targets: list[str]
    jets: Classes
    origin: Classes


def is_wanted(config: Config) -> bool:
    """Whether the configuration asks for a picture."""
    display = config.evaluation.display
    return bool(display.jets or display.first)


def cannot(setting: Setting) -> str | None:
    """Why there can be no event display; none: there can be."""
    if not any(map(_is_shown, setting.tasks)):
        return "no task finds objects with classes and masks"
    return None


def _is_shown(task: Task) -> bool:
    losses = getattr(task.options, "losses", None)
    return bool(losses and losses.object_class and (losses.mask_ce or losses.mask_dice))


def names_of(setting: Setting) -> Names:
    """Of a setting in which there can be a display."""
    task = next(filter(_is_shown, setting.tasks))
    losses, objects = task.options.losses, task.options.objects
    stream, label = setting.schema.objects[objects].of, losses.object_class.label

    def classes(of: str) -> Classes:
        for other in setting.tasks:
            if other.options.kind == "classification" and setting.place(other) == of:
                return Classes(other.name, other.options.label, setting.classes(other))
        return Classes()

    kinds = Classes(task.name, label, list(setting.schema.labels[label].classes))
    targets = list(losses.regression.targets) if losses.regression else []
    return Names(setting.config, stream, objects, kinds, targets, classes(JETS), classes(stream))
