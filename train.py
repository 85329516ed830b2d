"""Trains a MaskFormer: `python train.py --config FILE [--section.field=value ...]`, or continues
an interrupted run: `python train.py --resume RUN`."""

import sys
from pathlib import Path

from maskformer_jax import config as configuration
from maskformer_jax.data import (
    NORMALISATION_FILE,
    JetFile,
    Scaling,
    TrainLoader,
    fit_scaling,
    load_class_weights,
    read_sequential,
)
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.baseline import FILE_NAME as BASELINE_FILE
from maskformer_jax.evaluation.baseline import fit_baseline
from maskformer_jax.model.maskformer import parameter_table
from maskformer_jax.training import loop, run_folder
from maskformer_jax.training.compilation import use_cache


def main(argv: list[str]) -> int:
    resume = argv[:1] == ["--resume"]
    if resume and len(argv) > 1:
        argv = ["--config", str(run_folder.config_file(Path(argv[1]))), *argv[2:]]
    config = configuration.load(argv, "Trains a MaskFormer, or continues one: --resume RUN.")
    run, data = Path(config.output_dir), config.data
    for name in ("train_file", "val_file"):
        if getattr(data, name) is None:
            raise InputError(f"`data.{name}` must be given; got none")
    if not resume:
        run_folder.check_is_free(run)
    use_cache()
    train_file, val_file = JetFile(data.train_file, data), JetFile(data.val_file, data)
    weights = load_class_weights(data.class_file, data) if config.loss.class_weights else None
    scaling_file = run / NORMALISATION_FILE
    if resume:
        scaling = Scaling.load(scaling_file)
    else:
        scaling = fit_scaling(train_file, norm_file=data.norm_file, num_jets=data.train_jets)
    settings = config.training
    loader = TrainLoader(
        train_file,
        scaling,
        batch_size=settings.batch_size,
        seed=settings.seed,
        num_jets=data.train_jets,
    )
    trainer = loop.build(config, settings.epochs * loader.steps_per_epoch, weights)
    if not resume:
        fields = config.evaluation.baseline_fields
        templates = fit_baseline(train_file, fields, data.train_jets) if fields else None
        run_folder.create(run, config)
        scaling.save(scaling_file)
        if templates is not None:
            templates.save(run / BASELINE_FILE)
    print(f"{loader.jets_per_epoch} jets to train on, {loader.skipped} unlabelled ones skipped")
    print(parameter_table(trainer.state.params), flush=True)

    def validation():
        batches = read_sequential(val_file, scaling, settings.batch_size, labelled_only=True)
        return ((batch, targets) for _, batch, targets in batches)

    outcome = loop.train(config, run, trainer, loader, validation, resume=resume)
    if not outcome.finished:
        print(f"stopped at step {outcome.step}; continue with: python train.py --resume {run}")
        return 128 + outcome.signal
    print(
        f"trained {outcome.step} steps; evaluate with: python evaluate.py --run {run} --test_file F"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
