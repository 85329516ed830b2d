"""From losses and gradients to a trained model in a run folder."""
