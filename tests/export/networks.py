"""Networks to export: all kinds of tasks, with parameters that nothing cancels."""

import jax
import numpy as np
from made_up_config import CONFIG, load, write

from maskformer_jax.build import build
from maskformer_jax.data import JetFile, fit_scaling
from maskformer_jax.evaluation.trained import Trained
from maskformer_jax.export.run import Options, exported_of, output_names

# A momentum of the objects, by which they are ordered.
OVERRIDES = ("--evaluation.fields.hadron_pt=size",)


def scattered(params, seed=0, width=0.3):
    """Parameters with random numbers added, since the initial ones hide what multiplies them."""
    leaves, tree = jax.tree.flatten(params)
    generator = np.random.default_rng(seed)
    moved = [x + width * generator.normal(size=x.shape).astype("f4") for x in leaves]
    return jax.tree.unflatten(tree, moved)


def make(folder, *overrides, text=CONFIG, jets=40):
    """A network as a run would leave it."""
    config = load(folder, *OVERRIDES, *overrides, text=text)
    model = build(config)
    file = JetFile(write(folder, jets), model.schema)
    scaling = fit_scaling(file)
    file.close()
    return Trained(config, scaling, model, scattered(model.params), None)


def exported(trained, batched=False, rename=(), **options):
    """The function of a network, and the names of its outputs."""
    found = exported_of(trained, Options(batched=batched, **options))
    return found, output_names(found, "Tagger", rename)
