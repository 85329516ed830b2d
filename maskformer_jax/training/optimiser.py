"""AdamW with the OneCycle schedule (Section 4.3.3 of the thesis)."""

import optax

from maskformer_jax.config import TrainingConfig


def one_cycle(
    steps: int, *, initial: float, peak: float, final: float, warmup_fraction: float
) -> optax.Schedule:
    """Learning rate of each step: a cosine up to the peak, then a cosine down to the end.

    Args:
        steps: number of steps; the last one has the final rate.
        initial: rate at step 0.
        peak: rate after `warmup_fraction` of the steps.
        final: rate at the last step.
        warmup_fraction: position of the peak, between 0 and 1.

    Source: arXiv 1708.07120, with cosine in place of linear segments.
    """
    last = max(steps - 1, 1)
    warmup = min(max(round(warmup_fraction * steps), 1), last)
    if warmup == last:  # two steps have no room for a peak
        boundaries = {last: final / initial}
    else:
        boundaries = {warmup: peak / initial, last: final / peak}
    return optax.schedules.piecewise_interpolate_schedule("cosine", initial, boundaries)


def build(
    config: TrainingConfig, steps: int
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """The optimiser that follows the task weighting, and its learning rate for the log.

    Args:
        config: rates, weight decay and clipping.
        steps: number of steps of the whole training.
    """
    schedule = one_cycle(
        steps,
        initial=config.initial_learning_rate,
        peak=config.peak_learning_rate,
        final=config.final_learning_rate,
        warmup_fraction=config.warmup_fraction,
    )
    adamw = optax.adamw(schedule, weight_decay=config.weight_decay)
    if config.max_gradient_norm is None:
        return adamw, schedule
    return optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), adamw), schedule
