"""Task weighting as optax transformations: task gradients `[K, ...]` in, one update out.

`METHODS[name](num_tasks, **options)` is an `optax.GradientTransformationExtraArgs`, usable as the
first link of a chain: `optax.chain(METHODS["equal"](6), optax.adamw(1e-3))`. Nothing here knows
what the tasks are.
"""

from maskformer_jax.weighting._gramian import inner_products as inner_products
from maskformer_jax.weighting._method import Method as Method
from maskformer_jax.weighting._shared import TaskState as TaskState
from maskformer_jax.weighting.equal import equal as equal
from maskformer_jax.weighting.imtl_g import imtl_g as imtl_g
from maskformer_jax.weighting.static import static as static

METHODS = {
    "equal": Method(equal, family="loss"),
    "static": Method(static, family="loss"),
    "imtl_g": Method(imtl_g, family="gramian"),
}
