"""A trained model in Python: predictions, attention weights, inputs to differentiate by.

model = maskformer_jax.load("runs/quickstart")
found = model.predict("test.h5")
found["jets"]["MaskFormer_pb"]
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from maskformer_jax.data import JetFile, read_sequential
from maskformer_jax.errors import InputError, check
from maskformer_jax.evaluation.event_display import EventDisplay, cannot
from maskformer_jax.evaluation.metrics import setting_of
from maskformer_jax.evaluation.outputs import outputs_of
from maskformer_jax.evaluation.plots.event_display import draw
from maskformer_jax.evaluation.prediction_file import with_columns
from maskformer_jax.evaluation.trained import Trained, load_run, predict_file
from maskformer_jax.model.attention import recorded
from maskformer_jax.types import Batch, Outputs

# A file of jets, or structured arrays by the names of its datasets.
Jets = str | Path | Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """The best checkpoint of a run.

    Attributes:
        trained: configuration, scaling, network and parameters.
    """

    trained: Trained

    def predict(
        self, jets: Jets, *, num_jets: int | None = None, attention: bool = False
    ) -> dict[str, Any]:
        """What the tasks predict, by the names of the prediction file.

        Args:
            jets: a file, or its datasets as structured arrays; truth is not needed.
            num_jets: the first so many; none: all.
            attention: put what `attention` returns under this name beside the places.

        Returns:
            Place (`jets`, a stream, objects, `object_masks`) -> structured array: `[N]` of jets,
            `[N, columns]` of constituents as in the file, `[N, M]` of objects; masks `[N, M,
            columns]`.

        Raises:
            InputError: something that the model reads is not there, or not finite.
        """
        trained, places = self._first(num_jets), {}
        model = trained.model
        with _opened(jets, trained) as file:
            chunks = list(predict_file(trained, file))
        for output in outputs_of(model.tasks, model.schema, trained.config.name):
            parts = [output.columns(chunk) for chunk in chunks]
            whole = {name: np.concatenate([part[name] for part in parts]) for name in output.names}
            places.setdefault(output.place, {}).update(whole)
        found = {place: with_columns(None, columns) for place, columns in places.items()}
        more = {"attention": self.attention(jets, num_jets=num_jets)} if attention else {}
        return found | more

    def attention(self, jets: Jets, *, num_jets: int | None = None) -> dict[str, np.ndarray]:
        """Weights of every attention, by where it is: `encoder.layers.0.attention`.

        Args:
            jets: as for `predict`.
            num_jets: likewise.

        Returns:
            `[N, heads, S, T]`, a distribution over the T that each of the S looks at: constituents
            in the order of the inputs, then registers, or queries; zero for padding.
        """
        model, params = self.trained.model, self.trained.params

        @jax.jit
        def weights(batch: Batch) -> dict[str, Array]:
            with recorded() as found:
                model.apply(params, batch)
            return found

        parts = [
            {name: np.asarray(x)[:number] for name, x in weights(batch).items()}
            for batch, number in self._batches(jets, num_jets)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def inputs(self, jets: Jets, *, num_jets: int | None = None) -> Batch:
        """The scaled inputs of jets, one jet a row, to differentiate by; as for `predict`."""
        check(num_jets is None or num_jets > 0, "num_jets", "be at least 1", num_jets)
        chosen = self.trained.config.evaluation.batch_size if num_jets is None else num_jets
        (batch, number), *_ = self._batches(jets, chosen, chosen)
        return jax.tree.map(lambda x: x[:number], batch)

    def outputs(self, batch: Batch) -> Outputs:
        """What the network says, by task: logits and scaled values, differentiable."""
        return self.trained.model.apply(self.trained.params, batch)

    def draw(self, jets: Jets, rows: Sequence[int], folder: str | Path) -> list[Path]:
        """Draws jets as event displays into a folder.

        Args:
            jets: as for `predict`, with the fields of `evaluation.fields`.
            rows: of the file, counted from 0.
            folder: created if needed.

        Returns:
            The pictures.
        """
        check(len(rows) > 0, "rows", "name at least one row", rows)
        config = self.trained.config
        display = dataclasses.replace(config.evaluation.display, jets=list(rows), first=0)
        trained = self._first(max(rows) + 1, display=display)
        with _opened(jets, trained) as file:
            setting = setting_of(trained, file)
            if reason := cannot(setting):
                raise InputError(f"there is nothing to draw: {reason}")
            taker = EventDisplay(setting, file)
            for chunk in predict_file(trained, file):
                taker.add(chunk)
        Path(folder).mkdir(parents=True, exist_ok=True)
        return draw(taker.drawn(config.name), Path(folder), config.plot)

    def _first(self, num_jets: int | None, **options: object) -> Trained:
        """The same run, evaluated on the first jets alone."""
        config = self.trained.config
        evaluation = dataclasses.replace(config.evaluation, max_jets=num_jets, **options)
        return self.trained._replace(config=dataclasses.replace(config, evaluation=evaluation))

    def _batches(
        self, jets: Jets, num_jets: int | None, size: int | None = None
    ) -> Iterator[tuple[Batch, int]]:
        """Batches, the last filled up, and how many of their jets are real."""
        size = size or self.trained.config.evaluation.batch_size
        options = {"labelled_only": False, "num_jets": num_jets}
        with _opened(jets, self.trained) as file:
            for records, batch, _ in read_sequential(file, self.trained.scaling, size, **options):
                yield batch, len(records.jets)


def load(run: str | Path, overrides: Sequence[str] = ()) -> LoadedModel:
    """The best checkpoint of a run folder.

    Args:
        run: the folder.
        overrides: words of a command line, such as `--data.jets.dataset=my_jets`.

    Raises:
        InputError: the folder is missing, incomplete or damaged.
    """
    return LoadedModel(load_run(Path(run), overrides))


@contextlib.contextmanager
def _opened(jets: Jets, trained: Trained) -> Iterator[JetFile]:
    """The jets as a file; arrays by way of one that is removed."""
    known = isinstance(jets, str | Path | Mapping)
    check(known, "jets", "be a file, or structured arrays by their names", jets)
    with tempfile.TemporaryDirectory() as folder:
        path = jets if isinstance(jets, str | Path) else Path(folder) / "arrays.h5"
        if isinstance(jets, Mapping):
            with h5py.File(path, "w") as made:
                for name, array in jets.items():
                    plain = not getattr(array, "dtype", np.dtype(float)).hasobject
                    check(plain, f"jets[{name!r}]", "hold numbers, not objects of Python", array)
                    made[name] = array
        try:
            with contextlib.closing(JetFile(path, trained.model.schema, truth="optional")) as file:
                yield file
        except InputError as error:
            # The file of arrays is none of the user's.
            raise InputError(str(error).replace(f"{folder}/arrays.h5", "`jets`")) from error


def integrated_gradients(
    score: Callable[[PyTree], Float[Array, ""]], inputs: PyTree, steps: int = 256
) -> PyTree:
    """How much each input adds to a score, from inputs of zero on: they sum to the difference.

    The integral of the gradient along the straight path, by the midpoints of so many steps, times
    the inputs. Zero stands for the mean of a standardised input.

    Args:
        score: `score(inputs)`, one number.
        inputs: arrays that the score is differentiated by.
        steps: of the path; where inputs are encoded as positions, in fast sines, many are needed.

    Source: Sundararajan, Taly and Yan 2017, arXiv 1703.01365, Eq. 3.
    """
    gradient = jax.grad(score)

    def add(total: PyTree, place: Array) -> tuple[PyTree, None]:
        found = gradient(jax.tree.map(lambda x: place * x, inputs))
        return jax.tree.map(jnp.add, total, found), None

    zeros, places = jax.tree.map(jnp.zeros_like, inputs), (jnp.arange(steps) + 0.5) / steps
    total, _ = jax.lax.scan(add, zeros, places)
    return jax.tree.map(lambda x, sum_: x * sum_ / steps, inputs, total)
