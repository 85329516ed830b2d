"""Whether an exported network says what JAX says, before anybody uses it.

JAX computes many jets at once, padded to the cap; the file gets one jet after another, or a few
with less padding. Floats agree to `TOLERANCE` of the scale of their output, or, where a rounding of
the inputs alone moves JAX by more, as it may where they enter through fast sines, to `ROUNDINGS`
times that. Where a jet hangs on a number that is too close to its threshold (an edge, a mask, the
best of two classes), the two may rightly differ: such jets are counted, not compared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.names import plural
from maskformer_jax.export.function import Exported, Input, inputs_of
from maskformer_jax.export.outputs import Output, outputs_of
from maskformer_jax.model.attention import recorded
from maskformer_jax.types import JETS

TOLERANCE, ROUNDINGS = 1e-5, 4
# Jets beyond those with 0, 1, 2, ... cap constituents.
RANDOM_JETS = 24

Arrays = Mapping[str, np.ndarray]
# Runs the exported network: arrays by input -> arrays by output.
Run = Callable[[Arrays], Mapping[str, np.ndarray]]


class Jets(NamedTuple):
    """Raw inputs of made-up jets.

    Attributes:
        values: by place, `[N, I]` or, padded, `[N, L, F]`.
        valid: by stream, `[N, L]`.
    """

    values: Arrays
    valid: Arrays

    @property
    def number(self) -> int:
        """How many there are."""
        return len(next(iter(self.values.values())))

    def at(self, index: np.ndarray) -> "Jets":
        """Some of the jets."""
        return Jets(*({name: x[index] for name, x in part.items()} for part in self))

    def batch(self, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The arguments of a batched function."""
        return [self.values[x.place] if x.fields else self.valid[x.place] for x in inputs]

    def one(self, jet: int, inputs: Sequence[Input]) -> list[np.ndarray]:
        """The arguments of a function of one jet."""
        return [
            self.values[x.place][[jet]]
            if x.place == JETS
            else self.values[x.place][jet][self.valid[x.place][jet]]
            for x in inputs
        ]


def made_up(exported: Exported, seed: int = 0) -> Jets:
    """Jets with 0, 1, 2, ... cap constituents of each stream and of random numbers.

    Fields are normally distributed as the network sees them.
    """
    generator = np.random.default_rng(seed)
    scaling, streams = exported.scaling, exported.model.schema.streams
    number = 1 + RANDOM_JETS + max([x.cap for x in streams.values()], default=0)
    values, valid = {}, {}

    def drawn(part: Any, *shape: int) -> np.ndarray:
        return part.to_physical(generator.normal(size=(*shape, len(part.fields)))).astype("f4")

    if scaling.jets.fields:
        values[JETS] = drawn(scaling.jets, number)
    for name, stream in streams.items():
        cap = stream.cap
        counts = np.minimum(np.arange(number), cap)
        counts[-RANDOM_JETS:] = generator.integers(0, cap + 1, RANDOM_JETS)
        valid[name] = np.arange(cap) < counts[:, None]
        values[name] = np.where(
            valid[name][..., None], drawn(scaling.streams[name], number, cap), 0
        )
    return Jets(values, valid)


class Expected(NamedTuple):
    """What JAX says of the jets.

    Attributes:
        values: by output, with an axis of jets.
        moved: the same of inputs that are moved by one rounding.
        margins: by task, how far each jet is from another decision.
    """

    values: Arrays
    moved: Arrays
    margins: Arrays


def expected(exported: Exported, config: Any, jets: Jets) -> Expected:
    """What JAX says of jets, all at once."""
    tasks = [x for x in exported.model.tasks if x.name in {y.task for y in exported.outputs}]
    outputs = outputs_of(tasks, exported.model.schema, config, True)
    whole = exported._replace(
        inputs=inputs_of(exported.model.schema, True), outputs=outputs, batched=True
    )

    @jax.jit
    def say(params: Any, *arrays: Any) -> tuple[Any, Any]:
        with recorded("mask_logits") as masks:
            return whole._replace(params=params)(*arrays), masks

    found, masks = say(exported.params, *jets.batch(whole.inputs))
    rounded = {name: np.nextafter(x, np.float32(np.inf)) for name, x in jets.values.items()}
    moved, _ = say(exported.params, *jets._replace(values=rounded).batch(whole.inputs))
    values, moved = (
        {x.name: np.asarray(y) for x, y in zip(outputs, given, strict=True)}
        for given in (found, moved)
    )
    margins = {task.name: np.full(jets.number, np.inf) for task in tasks}
    attended = _masks_margin(masks, jets.number)
    for output in outputs:
        if output.of_network:
            margin = _margin(output, values[output.name], jets.valid.get(output.place), config)
            margins[output.task] = np.minimum(margins[output.task], margin)
    margins = {name: np.minimum(x, attended) for name, x in margins.items()}
    return Expected(values, moved, margins)


def _masks_margin(masks: Mapping[str, np.ndarray], number: int) -> np.ndarray:
    """Smallest mask logit of each jet in any layer, whose sign guides the attention."""
    found = np.full(number, np.inf)
    for logits in masks.values():
        found = np.minimum(found, np.abs(np.asarray(logits)).reshape(number, -1).min(-1))
    return found


def _margin(
    output: Output, values: np.ndarray, valid: np.ndarray | None, config: Any
) -> np.ndarray:
    """Distance to the nearest other decision of each jet, in units of the largest number."""
    leaf, number = output.name.partition(".")[2], len(values)
    if leaf == "regression":
        # The order of the objects is that of their momenta.
        targets = list(config.tasks[output.task].losses.regression.targets)
        column = targets.index(pt) if (pt := config.evaluation.fields.hadron_pt) in targets else 0
        apart = np.diff(np.sort(values[..., column], axis=-1), axis=-1)
        return apart.min(-1, initial=np.inf) / max(1.0, np.abs(values).max())
    if leaf == "values" or not values.size:
        return np.full(number, np.inf)
    if leaf in ("logits", "class_logits"):
        best = np.sort(values, axis=-1)
        distance = best[..., -1] - best[..., -2] if best.shape[-1] > 1 else np.abs(best[..., 0])
        if leaf == "logits" and output.place != JETS:
            distance = np.where(valid, distance, np.inf)
        if leaf == "logits" and output.place == JETS:
            distance = np.full(number, np.inf)
    else:
        distance = np.abs(values)
        if leaf == "mask_logits" and values.shape[1] > 1:
            best = np.sort(values, axis=1)
            distance = np.minimum(distance, (best[:, -1] - best[:, -2])[:, None])
        if leaf == "edge_logits":
            distance = np.where(np.eye(values.shape[1], dtype=bool), np.inf, distance)
            valid = valid[:, :, None] & valid[:, None, :]
        else:
            valid = valid[:, None, :]
        distance = np.where(valid, distance, np.inf)
    return distance.reshape(number, -1).min(-1) / max(1.0, np.abs(values).max())


def compare(
    exported: Exported,
    run: Run,
    config: Any,
    names: Mapping[str, str],
    most: int | None = None,
) -> str:
    """Compares an exported network with JAX on made-up jets.

    Args:
        exported: the function.
        run: the exported network.
        config: of the run.
        names: of the outputs in the file.
        most: number of jets, spread over all, for what is compiled anew for each; none: all.

    Returns:
        What was compared, in a line.

    Raises:
        InputError: an output differs; it is named.
    """
    jets = made_up(exported)
    if most is not None:
        jets = jets.at(np.linspace(0, jets.number - 1, most).astype(int))
    wanted = expected(exported, config, jets)
    one_or_many = _batched if exported.batched else _one_by_one
    found = dict(one_or_many(exported, run, jets))
    left, differences = 0, {}
    for output in exported.outputs:
        decided = wanted.margins[output.task] > TOLERANCE
        left = max(left, int((~decided).sum()))
        given = [found[jet][names[output.name]] for jet in range(len(decided))]
        pair = wanted.values[output.name], wanted.moved[output.name]
        differences[output.name] = _difference(output, *pair, given, decided, jets)
    worst, number = max(differences.values(), default=0.0), len(decided)
    text = f"{len(differences)} outputs of {plural(number, 'jet')} agree with JAX to {worst:.0e}"
    if left:
        text += f"; {left} too close to a decision to compare"
    if loose := [name for name, x in differences.items() if x > TOLERANCE]:
        text += f"; a rounding of the inputs moves JAX as much in {', '.join(loose)}"
    return text


def _one_by_one(exported: Exported, run: Run, jets: Jets) -> Iterator[tuple[int, Arrays]]:
    for jet in range(jets.number):
        arrays = jets.one(jet, exported.inputs)
        yield jet, run({x.name: y for x, y in zip(exported.inputs, arrays, strict=True)})


def _batched(exported: Exported, run: Run, jets: Jets) -> Iterator[tuple[int, Arrays]]:
    """A jet without constituents, then batches of three, each as wide as its jets need."""
    for index in np.split(np.arange(jets.number), range(1, jets.number, 3)):
        some = jets.at(index)
        widths = {name: int(x.sum(-1).max()) for name, x in some.valid.items()}
        values, valid = (
            {name: x if name == JETS else x[:, : widths[name]] for name, x in part.items()}
            for part in some
        )
        arrays = zip(exported.inputs, Jets(values, valid).batch(exported.inputs), strict=True)
        found = run({x.name: y for x, y in arrays})
        for place, jet in enumerate(index):
            yield jet, {name: x[place] for name, x in found.items()}


def _difference(
    output: Output,
    wanted: np.ndarray,
    moved: np.ndarray,
    given: Sequence[np.ndarray],
    decided: np.ndarray,
    jets: Jets,
) -> float:
    """Largest difference in units of the scale of an output; of integers 0."""
    finite = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
    scale, worst = max(finite.max(initial=0.0), 1e-30), 0.0
    allowed = TOLERANCE
    if wanted.dtype.kind == "f":
        rounding = [
            _apart(*(_real(output, x[jet], jets, jet) for x in (wanted, moved)))
            for jet in np.flatnonzero(decided)
        ]
        allowed = max(TOLERANCE, ROUNDINGS * max(rounding, default=0.0) / scale)
    for jet in np.flatnonzero(decided):
        one, other = _real(output, wanted[jet], jets, jet), np.asarray(given[jet])
        other = _real(output, other, jets, jet)
        if one.shape != other.shape:
            _refuse(output, jet, f"has shape {other.shape} instead of {one.shape}")
        if one.dtype.kind != "f":
            if (one != other).any():
                _refuse(output, jet, f"is {other.tolist()} instead of {one.tolist()}")
            continue
        apart = _apart(one, other) / scale
        if not apart <= allowed:
            _refuse(output, jet, f"differs by {apart:.1e} of its scale {scale:.3g}")
        worst = max(worst, apart)
    return worst


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """Largest difference; NaN where only one of the two is NaN."""
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        return float(np.where(same, 0.0, np.abs(one.astype(np.float64) - other)).max(initial=0.0))


def _real(output: Output, values: np.ndarray, jets: Jets, jet: int) -> np.ndarray:
    """Values of real constituents, which come first."""
    for axis in output.axes:
        values = np.take(values, np.arange(jets.valid[output.place][jet].sum()), axis - 1)
    return values


def _refuse(output: Output, jet: int, text: str) -> None:
    raise InputError(
        f"the exported network is not the trained one, so nothing is written: `{output.name}` of "
        f"made-up jet {jet} {text}"
    )
