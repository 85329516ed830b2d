"""Task weighting as optax transformations: task gradients `[K, ...]` in, one update out.

`METHODS[name](num_tasks, **options)` is an `optax.GradientTransformationExtraArgs`, usable as the
first link of a chain: `optax.chain(METHODS["equal"](6), optax.adamw(1e-3))`. Nothing here knows
what the tasks are.
"""

from maskformer_jax.weighting._combine import Method as Method
from maskformer_jax.weighting.equal import equal as equal
from maskformer_jax.weighting.static import StaticState as StaticState
from maskformer_jax.weighting.static import static as static

METHODS = {
    "equal": Method(equal, family="loss"),
    "static": Method(static, family="loss"),
}
