"""A trained network as one function of raw fields: scaling, network, and what it says in words.

    jet_features [1, I], track_features [n, F]  ->  pb, pc, pu, TrackOrigin [n], ...

or, batched, `[B, I]`, `[B, n, F]` and `track_valid [B, n]`, which is False for padding.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Array, Bool, Float

from maskformer_jax.build import Model
from maskformer_jax.data.scaling import TRANSFORMS, FieldScaling, Scaling
from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.names import singular
from maskformer_jax.export.indices import MOST_CONSTITUENTS
from maskformer_jax.export.outputs import Fields, Output, Said
from maskformer_jax.types import JETS, Batch, Pairs, Stream

BATCH = "batch"


class Input(NamedTuple):
    """An array that the function is given.

    Attributes:
        name: `jet_features`, `track_features`, `track_valid`.
        place: jets or a stream.
        fields: of the last axis; none: it says which constituents are real.
        axes: their lengths; a word is any length.
    """

    name: str
    place: str
    fields: tuple[str, ...]
    axes: tuple[int | str, ...]

    @property
    def dtype(self) -> Any:
        """float32, or bool."""
        return jnp.float32 if self.fields else jnp.bool_


def inputs_of(schema: Schema, batched: bool) -> list[Input]:
    """What the function of a model reads, in the order of its arguments.

    Args:
        schema: of its files.
        batched: many jets with padded constituents, rather than one with all that it has.

    Raises:
        InputError: two streams have the same name in Athena.
    """
    found, jets = [], tuple(schema.jets.inputs)
    if jets:
        found.append(Input("jet_features", JETS, jets, (BATCH if batched else 1, len(jets))))
    lead = (BATCH,) if batched else ()
    for name, stream in schema.streams.items():
        fields, width = tuple(stream.inputs), length_of(name)
        axes = (*lead, width, len(fields))
        found.append(Input(f"{word_of(name)}_features", name, fields, axes))
        if batched:
            found.append(Input(f"{word_of(name)}_valid", name, (), (BATCH, width)))
    names = [given.name for given in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"two streams have the input `{twice[0]}`, so they can't be exported")
    return found


def word_of(stream: str) -> str:
    """A stream in the name of its inputs, as Salt and Athena form it.

    >>> word_of("tracks"), word_of("tracks_loose"), word_of("flow")
    ('track', 'track', 'flow')
    """
    return singular(stream.split("_")[0])


def length_of(stream: str) -> str:
    """The word for the number of constituents.

    >>> length_of("soft-muons")
    'n_soft_muons'
    """
    return re.sub(r"\W", "_", f"n_{stream}")


class Exported(NamedTuple):
    """A function of raw fields.

    Attributes:
        inputs: its arguments.
        outputs: its results.
        batched: whether it is of many jets.
        model: the network.
        scaling: of the fields.
        params: of the network.
    """

    inputs: list[Input]
    outputs: list[Output]
    batched: bool
    model: Model
    scaling: Scaling
    params: Any

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """The outputs; of one jet without an axis of jets."""
        batch, fields, widths = self._batch(arrays)
        network = self.model.apply(self.params, batch)
        predictions = {x.name: x.predict(network[x.name], batch, {}) for x in self.model.tasks}
        said = Said(predictions, network, batch, self.scaling, fields)

        def cut(output: Output) -> Array:
            found = output.read(said)
            for axis in output.axes:
                found = jax.lax.slice_in_dim(found, 0, widths[output.place], axis=axis)
            return found if self.batched else found[0]

        return tuple(map(cut, self.outputs))

    def specs(self, least: int = 1) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes of the arguments, with symbols for lengths that are free.

        Args:
            least: number of constituents that JAX assumes; with 0 the symbol is one more than it.
        """
        words = dict.fromkeys(x for given in self.inputs for x in given.axes if isinstance(x, str))
        moved = {x: 0 if x == BATCH else 1 - least for x in words}
        text = ",".join(f"{x} - 1" if moved[x] else x for x in words)
        names = map(length_of, self.model.schema.pairs)
        limits = [f"{x} <= {MOST_CONSTITUENTS + moved[x]}" for x in names]
        lengths = export.symbolic_shape(text, constraints=limits) if words else ()
        symbols = dict(zip(words, lengths, strict=True))
        return {
            x.name: jax.ShapeDtypeStruct(tuple(symbols.get(a, a) for a in x.axes), x.dtype)
            for x in self.inputs
        }

    def _batch(self, arrays: Sequence[Array]) -> tuple[Batch, dict[str, Fields], dict[str, Any]]:
        """Scaled inputs, raw values by place and field, and lengths of the streams.

        Each stream ends in an entry of padding, so that no axis is empty.
        """
        given = {x.name: array for x, array in zip(self.inputs, arrays, strict=True)}
        fields: dict[str, Fields] = {}
        streams, widths, number = {}, {}, 1
        jets = jnp.zeros((1, 0), jnp.float32)
        for place, names, raw in ((x.place, x.fields, given[x.name]) for x in self.inputs):
            if not names:
                continue
            if place != JETS and not self.batched:
                raw = raw[None]
            fields[place] = Fields(names, raw)
            number = raw.shape[0]
            if place == JETS:
                jets = scaled(raw, self.scaling.jets)
                continue
            widths[place] = raw.shape[1]
            valid = given.get(f"{word_of(place)}_valid", jnp.ones(raw.shape[:2], bool))
            values = jnp.where(valid[..., None], scaled(raw, self.scaling.streams[place]), 0.0)
            streams[place] = Stream(_with_padding(values), _with_padding(valid))
        if not jets.shape[1]:
            jets = jnp.zeros((number, 0), jnp.float32)
        pairs = {name: pairs_of(streams[name].valid) for name in self.model.schema.pairs}
        return Batch(jets, jnp.ones(number, bool), streams, pairs), fields, widths


def scaled(values: Float[Array, "... F"], part: FieldScaling) -> Float[Array, "... F"]:
    """(transform(x) - mean) / std of raw values, in float32."""
    names = [transform.name for transform in part.transforms]
    scales = jnp.array([transform.scale for transform in part.transforms], jnp.float32)
    found = values
    for name in dict.fromkeys(names):
        if name != "identity":
            chosen = jnp.array([other == name for other in names])
            found = jnp.where(chosen, TRANSFORMS[name].forward(values, scales, jnp), found)
    mean, std = (jnp.asarray(x, jnp.float32) for x in (part.mean, part.std))
    return (found - mean) / std


def pairs_of(valid: Bool[Array, "B L"]) -> Pairs:
    """All pairs of the constituents of a jet: (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    jets, width = valid.shape
    place = jnp.arange(width * (width - 1) // 2)
    # The root is off by at most one.
    second = jnp.floor((1 + jnp.sqrt(1 + 8 * place.astype(jnp.float32))) / 2).astype(jnp.int32)
    second = second - (_below(second) > place)
    second = second + (_below(second + 1) <= place)
    first = place - _below(second)
    shape = (jets, *place.shape)
    first, second = jnp.broadcast_to(first, shape), jnp.broadcast_to(second, shape)
    both = [jnp.take_along_axis(valid, index, axis=1) for index in (first, second)]
    return Pairs(first, second, both[0] & both[1])


def _below(second: Array) -> Array:
    """Number of the pairs before those with this second constituent."""
    return second * (second - 1) // 2


def _with_padding(values: Array) -> Array:
    entry = jnp.zeros((values.shape[0], 1, *values.shape[2:]), values.dtype)
    return jnp.concatenate([values, entry], axis=1)
