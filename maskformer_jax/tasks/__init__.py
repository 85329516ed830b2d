"""What the network learns: kinds of tasks, each one file with head, losses and figures of merit."""

from collections.abc import Mapping, Sequence
from typing import Any

from maskformer_jax.errors import InputError, known
from maskformer_jax.tasks import classification, edges, objects, regression
from maskformer_jax.tasks.task import Context, Kind, Task

KINDS: dict[str, Kind] = {
    "classification": classification.KIND,
    "regression": regression.KIND,
    "edges": edges.KIND,
    "objects": objects.KIND,
}


def chosen(tasks: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    """Options of the tasks that are learnt.

    Args:
        tasks: options by name.
        without: tasks and losses that are left out.

    Raises:
        InputError: nothing has such a name, or nothing is left.
    """
    losses = {name: loss_names(name, options) for name, options in tasks.items()}
    names = [*tasks, *(loss for of_task in losses.values() for loss in of_task.values())]
    for name in without:
        known(name, names, "task or loss (`without`)")
    left = {}
    for name, options in tasks.items():
        gone = [kind for kind, loss in losses[name].items() if loss in without]
        if name in without or len(gone) == len(losses[name]):
            continue
        left[name] = options.without(gone) if gone else options
    if not left:
        raise InputError("`tasks` must name at least one task that is not in `without`; got none")
    return left


def left_out(tasks: Mapping[str, Any], without: Sequence[str]) -> list[str]:
    """Names of the losses that `without` leaves out."""
    losses = {name: loss_names(name, options).values() for name, options in tasks.items()}
    return [x for name, of_task in losses.items() for x in of_task if {name, x} & {*without}]


def loss_names(name: str, options: Any) -> dict[str, str]:
    """Kind of each loss of a task -> its name; a task with one loss gives it its own name."""
    names = getattr(options, "loss_names", None)
    return names() if names is not None else {name: name}


def build(
    tasks: Mapping[str, Any],
    without: Sequence[str],
    context: Context,
    kinds: Mapping[str, Kind] = KINDS,
) -> list[Task]:
    """The tasks in the order of the configuration.

    Args:
        tasks: options by name.
        without: tasks and losses that are left out.
        context: what they are built with.
        kinds: the table of kinds.

    Raises:
        InputError: an option names something that is not there, two losses have one name, or a
            task reads another that is not there.
    """
    built = [
        kinds[options.kind].build(name, options, context)
        for name, options in chosen(tasks, without).items()
    ]
    names = [loss for task in built for loss in task.losses]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"`tasks` must give each loss a name of its own; {', '.join(twice)} "
            "exists twice: set `prefix` in one of the tasks"
        )
    with_queries = [task.name for task in built if task.tokens]
    for task in built:
        for other in task.reads:
            known(other, with_queries, f"task with queries (`tasks.{task.name}.pool_queries`)")
    return built


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks in an order in which each follows those that it reads."""
    done: list[Task] = []
    waiting = list(tasks)
    while waiting:
        names = {task.name for task in done}
        ready = [task for task in waiting if set(task.reads) <= names]
        if not ready:
            raise InputError(f"`tasks` read each other: {', '.join(x.name for x in waiting)}")
        done += ready
        waiting = [task for task in waiting if task not in ready]
    return done
