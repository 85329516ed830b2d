"""From the options of an objects task to its decoder."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from flax import nnx

from maskformer_jax.errors import check
from maskformer_jax.model.decoder import Decoder
from maskformer_jax.model.layers import Style
from maskformer_jax.model.object_heads import HeadWidths, ObjectHeads
from maskformer_jax.tasks.objects_config import DecoderConfig, ObjectsTaskConfig
from maskformer_jax.tasks.task import Context


class Sizes(NamedTuple):
    """What the data say about a decoder.

    Attributes:
        queries: of a jet.
        classes: with `none`; 0: no such head.
        targets: of the regression; 0: no such head.
        means: number of a target -> number of the input that it is a mean of.
    """

    queries: int
    classes: int
    targets: int
    means: Mapping[int, int]


def make_decoder(
    name: str, options: ObjectsTaskConfig, context: Context, sizes: Sizes, rngs: nnx.Rngs
) -> Decoder:
    """The decoder of a task.

    Args:
        name: of the task.
        options: of the task.
        context: what it is built with.
        sizes: of what it predicts.
        rngs: source of the initial parameters.

    Raises:
        InputError: the attention heads do not divide the width.
    """
    layers, model, width = options.decoder, context.model, context.widths.constituent
    num_heads = layers.num_heads or model.num_heads
    rule = f"divide the width {width} of the constituents"
    check(width % num_heads == 0, f"tasks.{name}.decoder.num_heads", rule, num_heads)
    style = _style(layers, context.style)
    common, own = context.head_widths(options), vars(layers.head_widths).values()
    heads = ObjectHeads(
        width,
        HeadWidths(*(common if x is None else tuple(x) for x in own)),
        sizes.classes,
        sizes.targets,
        options.losses.mask_ce is not None or options.losses.mask_dice is not None,
        sizes.means,
        style._replace(
            norm=style.norm if layers.norms == "inside" else "none",
            activation=context.style.activation,
        ),
        rngs,
        layers.scale_masks,
    )
    return Decoder(
        width,
        sizes.queries,
        options.decoder_layers,
        num_heads,
        layers.feedforward_dim or width * model.feedforward_factor,
        heads,
        options.auxiliary,
        style,
        rngs,
        norms=layers.norms,
        threshold=math.log(layers.mask_threshold / (1 - layers.mask_threshold)),
        dummy=layers.dummy,
    )


def _style(options: DecoderConfig, style: Style) -> Style:
    """The style of the network with what the decoder has of its own."""
    if options.norm is not None:
        norm = options.norm
        style = style._replace(norm=norm.name, learnt_norm=norm.learnt, epsilon=norm.epsilon)
    own = {"activation": options.activation, "gated": options.gated}
    return style._replace(**{name: value for name, value in own.items() if value is not None})
