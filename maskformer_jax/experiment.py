"""One training from files to run folder: the only place that joins data, training and baseline."""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from maskformer_jax.build import Model, build
from maskformer_jax.canvas import check_label, heading
from maskformer_jax.config import Config
from maskformer_jax.data import (
    NORMALISATION_FILE,
    JetFile,
    Layout,
    Scaling,
    TrainLoader,
    block_rows,
    check_values,
    empty_classes,
    fingerprint,
    fit_scaling,
    padded,
    plan_layout,
    read_sequential,
    summarise,
)
from maskformer_jax.errors import InputError, check
from maskformer_jax.evaluation import baseline
from maskformer_jax.evaluation.outputs import outputs_of
from maskformer_jax.extras import MissingExtra
from maskformer_jax.files import held, writing
from maskformer_jax.model.network import parameter_table
from maskformer_jax.progress import stage
from maskformer_jax.tasks import KINDS, Kind
from maskformer_jax.training import loop, run_folder
from maskformer_jax.training.batches import used_parts
from maskformer_jax.training.compilation import settle, use_cache
from maskformer_jax.training.method import micro_batches
from maskformer_jax.training.warm_start import same_scaling, warm_start
from maskformer_jax.types import Batch, Labels
from maskformer_jax.weighting import METHODS

# Seconds of a training before it draws anything.
FIRST_PICTURE = 20.0


def train(
    config: Config, *, resume: bool = False, kinds: Mapping[str, Kind] = KINDS
) -> loop.Outcome:
    """Trains a model and leaves everything that an evaluation needs in the run folder.

    The folder is created only when every file and option has been found to be good.

    Args:
        config: the resolved configuration; `output_dir` is the run folder.
        resume: continue the run that is in the folder.
        kinds: kinds of tasks; a larger table than `KINDS` adds one of one's own.

    Raises:
        InputError: a file, an option or the run folder is wrong.
        FloatingPointError: a loss or gradient was not finite.
    """
    settle()
    use_cache()
    run = Path(config.output_dir)
    if not resume:
        run_folder.check_is_free(run)
        return _train(config, run, build(config, kinds))
    with held(run, run_folder.TRAINS):
        jets = run_folder.check_is_continued(run, config)
        return _train(config, run, build(config, kinds), jets)


def _train(
    config: Config, run: Path, model: Model, before: run_folder.Jets | None = None
) -> loop.Outcome:
    """Trains anew, or goes on from a run of the jets before."""
    resume = before is not None
    data, settings = config.data, config.training
    outputs_of(model.tasks, model.schema, config.name)
    check_label(heading(config.plot))
    train_file, val_file = _open("train", config, model), _open("val", config, model)
    jets = min(data.train_jets or train_file.num_jets, train_file.num_jets)
    rule = f"be at most the {jets} jets of {train_file.path}"
    check(settings.batch_size <= jets, "training.batch_size", rule, settings.batch_size)
    with stage("reading the jets"):
        if resume:
            scaling = Scaling.load(run / NORMALISATION_FILE)
            scaling.check(model.schema)
        else:
            scaling = _fit_scaling(config, train_file)
            model, scaling = _warm(config, model, scaling)
        check_values(val_file, scaling, data.val_jets)
        loader = training_loader(config, model, train_file, scaling)
        fingerprints = _fingerprints(config, train_file, val_file)
    if resume:
        run_folder.check_jets(run, before, fingerprints)
    total_steps = settings.epochs * loader.steps_per_epoch
    check(total_steps < 2**31, "training.epochs", "give fewer than 2^31 steps", settings.epochs)
    trainer = loop.build(config, model, total_steps, spread=loader.layout.spread)
    print(f"{loader.jets_per_epoch:,} jets to train on, {loader.skipped:,} skipped")
    summary = summarise(train_file, scaling, config.evaluation.fields.jet_pt, data.train_jets)
    print(summary.text)
    summary.warn(train_file.path)
    print(parameter_table(trainer.state.params), flush=True)

    val_layout = _layout(config, val_file, data.val_jets, model.tokens)

    def validation_batches() -> Iterator[tuple[Batch, Labels]]:
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

    draw = _drawing(config, run)
    make = partial(loop.train, config, run, trainer, loader, validation_batches, at_epoch_end=draw)
    if resume:
        return make(resume=True)
    with held(run, run_folder.TRAINS):
        _create_run(config, run, train_file, scaling, fingerprints)
        return make()


def _warm(config: Config, model: Model, scaling: Scaling) -> tuple[Model, Scaling]:
    """Parameters and scaling of the run that a training begins with."""
    if config.training.init_from is None:
        return model, scaling
    run = Path(config.training.init_from)
    params, account = warm_start(run, model.params)
    scaling, kept = same_scaling(scaling, Scaling.load(run / NORMALISATION_FILE))
    lines = [*account, f"scaling as in {run}: {', '.join(kept) or 'of nothing'}"]
    print("\n".join(lines), flush=True)
    return model._replace(params=params), scaling


def _drawing(config: Config, run: Path) -> Callable[[bool], None]:
    """Draws the learning curves, with at most a twentieth of the time of a training.

    One that is shorter than `FIRST_PICTURE` leaves them to `redraw`.
    """
    due = time.perf_counter() + FIRST_PICTURE

    def draw(is_last: bool) -> None:
        nonlocal due
        begin = time.perf_counter()
        if begin < due and not (is_last and list(run.glob("learning_*"))):
            return
        try:
            # Slow imports, of what a training can do without.
            from maskformer_jax.evaluation.plots import draw_logs

            draw_logs([run], [config.name], run, config.plot)
        except MissingExtra as error:
            if is_last:
                print(f"learning curves are not drawn, `redraw` draws them elsewhere: {error}")
        due = time.perf_counter() + 20 * (time.perf_counter() - begin)

    return draw


def training_loader(config: Config, model: Model, file: JetFile, scaling: Scaling) -> TrainLoader:
    """The batches of a training on the jets of a file."""
    return TrainLoader(
        file,
        scaling,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        num_jets=config.data.train_jets,
        layout=training_layout(config, file, model.tokens),
    )


def training_layout(config: Config, file: JetFile, tokens: int) -> Layout:
    """Shape of the batches of a training on the jets of a file.

    Args:
        config: of the training.
        file: to train on.
        tokens: states of a jet beside its constituents, `Model.tokens`.
    """
    two_batches = "task_grads_2" in METHODS[config.weighting.name].needs
    parts, batches = micro_batches(config), 2 if two_batches else 1
    return _layout(config, file, config.data.train_jets, tokens, parts, batches)


def _layout(
    config: Config,
    file: JetFile,
    num_jets: int | None,
    tokens: int,
    parts: int | None = 1,
    batches: int = 1,
) -> Layout:
    settings = config.training
    if not settings.pack:
        pairs, parts = file.schema.pairs, parts or 1
        size = settings.batch_size
        return padded(size, file.widths, pairs=pairs, parts=parts, batches=batches)
    return plan_layout(
        file,
        settings.batch_size,
        extra=tokens,
        num_jets=num_jets,
        parts=parts,
        devices=settings.devices,
        batches=batches,
    )


def _open(kind: str, config: Config, model: Model) -> JetFile:
    """The file to train on, or to validate with, in which there are enough jets."""
    path, jets = (getattr(config.data, f"{kind}_{what}") for what in ("file", "jets"))
    check(path is not None, f"data.{kind}_file", "name an HDF5 file", path)
    file = JetFile(path, model.schema)
    rule = f"be between 1 and the {file.num_jets} jets of {file.path}"
    check((jets or 1) <= file.num_jets, f"data.{kind}_jets", rule, jets)
    if not file.kept()[:jets].any():
        raise InputError(f"{file.path}: no jet is in a class of the labels of jets")
    return file


def _fit_scaling(config: Config, file: JetFile) -> Scaling:
    """Of the jets to train on; where it fails, classes without a jet may be the reason."""
    data = config.data
    try:
        return fit_scaling(file, norm_file=data.norm_file, num_jets=data.train_jets)
    except InputError as error:
        reasons = empty_classes(file, data.train_jets)
        raise InputError("; ".join([str(error), *reasons])) from error


def _fingerprints(config: Config, train: JetFile, val: JetFile) -> dict[str, dict[str, int]]:
    """By what all that a training reads of its files, and in which order, is known again."""
    data = config.data
    found = {
        "data.train_file": fingerprint(train, data.train_jets) | {"block": block_rows(train)},
        "data.val_file": fingerprint(val, data.val_jets),
    }
    if data.class_file is not None:
        content = Path(data.class_file).read_bytes()
        found["data.class_file"] = {"content": zlib.crc32(content)}
    return found


def _create_run(
    config: Config,
    run: Path,
    train_file: JetFile,
    scaling: Scaling,
    fingerprints: Mapping[str, Mapping[str, int]],
) -> None:
    templates = None
    options = config.evaluation.baseline
    if baseline.fits(options, config.data, train_file.labels):
        templates = baseline.fit_baseline(train_file, options, config.data.train_jets)
    with run_folder.making(run):
        with writing(run / NORMALISATION_FILE):
            scaling.save(run / NORMALISATION_FILE)
        if templates is not None:
            with writing(run / run_folder.BASELINE_FILE):
                templates.save(run / run_folder.BASELINE_FILE)
        run_folder.complete(run, config, fingerprints)
