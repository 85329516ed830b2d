"""A training whose batches can be tampered with, on a cut of the embedded sample."""

import dataclasses
from pathlib import Path

import grain
import jax
import numpy as np

from maskformer_jax.build import build
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling, read_sequential
from maskformer_jax.experiment import training_layout
from maskformer_jax.training import loop
from maskformer_jax.training.checkpoint import Checkpoints
from maskformer_jax.training.logging import read_log
from maskformer_jax.training.progress import Pace

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


class Training:
    """The parts of a training, with batches that can be tampered with.

    Args:
        config: the resolved configuration.
    """

    def __init__(self, config):
        self.config, self.model = config, build(config)
        train_file, val_file = (
            JetFile(path, self.model.schema)
            for path in (config.data.train_file, config.data.val_file)
        )
        scaling = fit_scaling(train_file)
        settings = config.training
        self.loader = TrainLoader(
            train_file,
            scaling,
            batch_size=settings.batch_size,
            seed=settings.seed,
            layout=training_layout(config, train_file, self.model.tokens),
        )
        self.trainer = loop.build(config, self.model, settings.epochs * self.loader.steps_per_epoch)
        self.validation = lambda: (
            pair[1:] for pair in read_sequential(val_file, scaling, 20, labelled_only=True)
        )

    def train(self, run, *, resume=False, tamper=None, **training):
        """Trains into `run`; `tamper(number, batch)` may change the batch of a step, or raise."""
        run.mkdir(exist_ok=True)
        config = dataclasses.replace(
            self.config, training=dataclasses.replace(self.config.training, **training)
        )
        loader = Tampering(self.loader, tamper) if tamper else self.loader
        # The step donates its state: give each training a copy.
        state = jax.tree.map(np.array, self.trainer.state)
        trainer = self.trainer._replace(state=state)
        return loop.train(config, run, trainer, loader, self.validation, resume=resume)

    def final(self, run):
        """What the last checkpoint of a run holds, as NumPy arrays."""
        checkpoints = Checkpoints(run, 2)
        state = jax.device_put(jax.tree.map(np.array, self.trainer.state))
        restored = checkpoints.restore(state, self.loader.iterator())
        checkpoints.close()
        return jax.tree.map(np.asarray, restored)

    def log(self, run):
        """Lines of the log, without the numbers that no two runs share."""
        lines = read_log(run)
        return [{k: v for k, v in line.items() if k not in Pace._fields} for line in lines]


class Tampering:
    """A loader whose batches pass through a function of the step number and the batch."""

    def __init__(self, loader, tamper):
        self._loader, self._tamper = loader, tamper
        self.steps_per_epoch, self.jets_per_epoch = loader.steps_per_epoch, loader.jets_per_epoch

    def iterator(self):
        inner, tamper = self._loader.iterator(), self._tamper

        class Iterator(grain.DatasetIterator):
            """Stands in for the loader's iterator, so that its position can be saved."""

            def __init__(self):
                super().__init__()
                self.number = 0

            def __next__(self):
                self.number += 1
                batch, labels = next(inner)
                return tamper(self.number, batch), labels

            def get_state(self):
                return inner.get_state()

            def set_state(self, state):
                inner.set_state(state)

        return Iterator()
