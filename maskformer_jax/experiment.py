"""One training from files to run folder: the only place that joins data, training and baseline."""

from collections.abc import Iterator
from pathlib import Path

from maskformer_jax.config import Config
from maskformer_jax.data import (
    NORMALISATION_FILE,
    JetFile,
    Layout,
    Scaling,
    TrainLoader,
    fit_scaling,
    load_class_weights,
    padded,
    plan_layout,
    read_sequential,
)
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import baseline
from maskformer_jax.model.maskformer import parameter_table
from maskformer_jax.training import loop, run_folder
from maskformer_jax.training.batches import used_parts
from maskformer_jax.training.compilation import use_cache
from maskformer_jax.training.method import find_method, micro_batches
from maskformer_jax.types import Batch, Targets


def train(config: Config, *, resume: bool = False) -> loop.Outcome:
    """Trains a model and leaves everything that an evaluation needs in the run folder.

    The folder is created only when every file and option has been found to be good.

    Args:
        config: the resolved configuration; `output_dir` is the run folder.
        resume: continue the run that is in the folder.

    Raises:
        InputError: a file, an option or the run folder is wrong.
        FloatingPointError: a loss or gradient was not finite.
    """
    use_cache()
    run, data, settings = Path(config.output_dir), config.data, config.training
    if resume:
        run_folder.check_is_continued(run, config)
    else:
        run_folder.check_is_free(run)
    train_file, val_file = _open("train_file", config), _open("val_file", config)
    if (data.val_jets or 1) > val_file.num_jets:
        raise InputError(
            f"`data.val_jets` must be between 1 and the {val_file.num_jets} jets of "
            f"{val_file.path}; got {data.val_jets}"
        )
    if not (val_file.labels()[: data.val_jets] >= 0).any():
        raise InputError(f"{val_file.path}: no jet has a label in {data.jets.classes}")
    weights = load_class_weights(data.class_file, data) if config.loss.class_weights else None
    if resume:
        scaling = Scaling.load(run / NORMALISATION_FILE)
    else:
        scaling = fit_scaling(train_file, norm_file=data.norm_file, num_jets=data.train_jets)
    layout = training_layout(config, train_file)
    loader = TrainLoader(
        train_file,
        scaling,
        batch_size=settings.batch_size,
        seed=settings.seed,
        num_jets=data.train_jets,
        layout=layout,
    )
    total_steps = settings.epochs * loader.steps_per_epoch
    trainer = loop.build(config, total_steps, weights, spread=layout.spread)
    if not resume:
        _create_run(config, run, train_file, scaling)
    print(f"{loader.jets_per_epoch:,} jets to train on, {loader.skipped:,} unlabelled ones skipped")
    print(parameter_table(trainer.state.params), flush=True)

    val_layout = _layout(config, val_file, data.val_jets)

    def validation_batches() -> Iterator[tuple[Batch, Targets]]:
        batches = read_sequential(
            val_file,
            scaling,
            settings.batch_size,
            labelled_only=True,
            num_jets=data.val_jets,
            layout=val_layout,
        )
        for _, *pair in batches:
            yield from used_parts(*pair)

    return loop.train(config, run, trainer, loader, validation_batches, resume=resume)


def training_layout(config: Config, file: JetFile) -> Layout:
    """Shape of the batches of a training on the jets of a file.

    Raises:
        InputError: the weighting method is unknown.
    """
    two_batches = "task_grads_2" in find_method(config.weighting).needs
    parts, batches = micro_batches(config), 2 if two_batches else 1
    return _layout(config, file, config.data.train_jets, parts, batches)


def _layout(
    config: Config, file: JetFile, num_jets: int | None, parts: int | None = 1, batches: int = 1
) -> Layout:
    settings = config.training
    if not settings.pack:
        return padded(settings.batch_size, file.width, parts=parts or 1, batches=batches)
    return plan_layout(
        file,
        settings.batch_size,
        num_jets=num_jets,
        parts=parts,
        devices=settings.devices,
        batches=batches,
    )


def _open(name: str, config: Config) -> JetFile:
    path = getattr(config.data, name)
    if path is None:
        raise InputError(f"`data.{name}` must name an HDF5 file; got none")
    return JetFile(path, config.data)


def _create_run(config: Config, run: Path, train_file: JetFile, scaling: Scaling) -> None:
    fields = config.evaluation.baseline_fields
    templates = None
    if fields:
        templates = baseline.fit_baseline(train_file, fields, config.data.train_jets)
    run_folder.create(run)
    scaling.save(run / NORMALISATION_FILE)
    if templates is not None:
        templates.save(run / baseline.FILE_NAME)
    run_folder.complete(run, config)
