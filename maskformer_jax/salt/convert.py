"""A checkpoint of Salt and its configuration to a run folder of ours."""

import contextlib
import itertools
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maskformer_jax import config as configuration
from maskformer_jax.build import Model, build
from maskformer_jax.config import Config
from maskformer_jax.configuration import dump, read_file
from maskformer_jax.data import NORMALISATION_FILE, Scaling
from maskformer_jax.data.scaling import FieldScaling, unfitted
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.outputs import outputs_of
from maskformer_jax.files import partial_path, writing
from maskformer_jax.salt import configuration as salts
from maskformer_jax.salt import names
from maskformer_jax.salt.checkpoint import state_of
from maskformer_jax.training import run_folder
from maskformer_jax.training.checkpoint import save_params
from maskformer_jax.training.restoring import flatten
from maskformer_jax.types import JETS


def convert(
    checkpoint: Path, config: Path, output_dir: Path, classes: Mapping[str, Sequence[str]]
) -> list[str]:
    """Writes a run folder, on which `evaluate` and others work as on one of a training.

    Args:
        checkpoint: of Salt.
        config: its YAML file.
        output_dir: the run folder, which must not be there.
        classes: task -> names of its classes, where the configuration does not have them.

    Returns:
        What of training is not carried over.

    Raises:
        InputError: a file is not what it should be, or something is not converted. Nothing is
            written then.
    """
    run_folder.check_is_free(output_dir)
    state = state_of(checkpoint)
    converted = salts.convert(read_file(config, foreign=True), state, classes)
    with _appearing(output_dir) as partial:
        made = _config(converted.config, partial, output_dir)
        model = build(made)
        outputs_of(model.tasks, model.schema, made.name)
        shapes = {path: leaf.shape for path, leaf in flatten(model.params).items()}
        found = names.convert(state, shapes, converted.places)
        leaves = [jnp.asarray(found[path]) for path in shapes]
        params = jax.tree.unflatten(jax.tree.structure(model.params), leaves)
        with writing(partial / NORMALISATION_FILE):
            _scaling(model, converted, state).save(partial / NORMALISATION_FILE)
        save_params(partial, params)
        run_folder.complete(partial, made, {})
    return converted.notes


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder beside another, whose place it takes at the end of a block that does not fail."""
    partial = partial_path(folder.absolute())
    with writing(folder):
        partial.mkdir(parents=True)
    try:
        yield partial
        with writing(folder):
            partial.replace(folder.absolute())
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _config(plain: Mapping[str, Any], partial: Path, run: Path) -> Config:
    path = partial / "converted.yaml"
    path.write_text(dump({**plain, "output_dir": str(run)}))
    try:
        return configuration.load([f"--config={path}"])
    finally:
        path.unlink()


def _scaling(model: Model, converted: salts.Converted, state: Mapping[str, np.ndarray]) -> Scaling:
    """Means and spreads of the checkpoint, and the scaling of the targets."""

    def inputs(place: str, part: FieldScaling) -> FieldScaling:
        if not part.fields:
            return part
        numbers: dict[str, dict[str, float]] = {"means": {}, "stds": {}}
        for (of, fields), kind in itertools.product(converted.norms[place].items(), numbers):
            name = f"norm.{of}_{kind}"
            if name not in state or state[name].shape != (len(fields),):
                shape = state[name].shape if name in state else "nothing"
                raise InputError(f"`{name}` of the checkpoint must have a number for each of the "
                                 f"{len(fields)} inputs; got {shape}")  # fmt: skip
            good = np.isfinite(state[name]) & ((state[name] > 0) | (kind == "means"))
            if not good.all():
                rule = "finite" if kind == "means" else "finite and positive"
                field, value = fields[np.argmin(good)], state[name][np.argmin(good)]
                raise InputError(
                    f"`{name}` of the checkpoint must be {rule}; got {value} of {field}"
                )
            numbers[kind] |= zip(fields, state[name].tolist(), strict=True)
        mean, std = (np.array([x[field] for field in part.fields]) for x in numbers.values())
        return part._replace(mean=mean, std=std)

    def targets(name: str, part: FieldScaling) -> FieldScaling:
        numbers = [converted.scales[name][field] for field in part.fields]
        mean, std = (np.array(x, np.float64) for x in zip(*numbers, strict=True))
        return part._replace(mean=mean, std=std)

    empty = unfitted(model.schema)
    return Scaling(
        inputs(JETS, empty.jets),
        {name: inputs(name, part) for name, part in empty.streams.items()},
        {name: targets(name, part) for name, part in empty.targets.items()},
    )


def best_of(run: Path) -> tuple[Path, Path]:
    """The checkpoint of the lowest loss in a run folder of Salt, and its configuration.

    Raises:
        InputError: it has none.
    """
    losses = {}
    for path in sorted(run.glob("ckpts/*.ckpt")):
        match = re.search(r"loss=(-?\d+(?:\.\d+)?)", path.name)
        if match:
            losses[path] = float(match[1])
    if not losses:
        example = "ckpts/epoch=003-val_loss=0.65.ckpt"
        raise InputError(f"{run} has no checkpoint with its loss in its name, such as {example}")
    return min(losses, key=losses.__getitem__), run / "config.yaml"
