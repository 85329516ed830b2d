"""Gradients of several losses for any network: plain functions and arrays in, rows or a sum out.

`weighted_gradient` is what a training step calls. Nothing here knows what the losses are.
"""

from maskformer_jax.gradients.cheaper_weights import CheaperWeights as CheaperWeights
from maskformer_jax.gradients.entry import Weighting as Weighting
from maskformer_jax.gradients.entry import weighted_gradient as weighted_gradient
from maskformer_jax.gradients.micro_batches import Backward as Backward
from maskformer_jax.gradients.micro_batches import LossGradients as LossGradients
from maskformer_jax.gradients.micro_batches import LossSums as LossSums
from maskformer_jax.gradients.micro_batches import Parts as Parts
from maskformer_jax.gradients.micro_batches import SumsOf as SumsOf
from maskformer_jax.gradients.micro_batches import gradients_of_losses as gradients_of_losses
from maskformer_jax.gradients.micro_batches import losses as losses
from maskformer_jax.gradients.micro_batches import stacked as stacked
from maskformer_jax.weighting import Reach as Reach
from maskformer_jax.weighting import find_reach as find_reach
from maskformer_jax.weighting.passes import WeightedGradient as WeightedGradient
from maskformer_jax.weighting.reverse_pass import fill_rows as fill_rows
from maskformer_jax.weighting.reverse_pass import gradients_by_loss as gradients_by_loss
