"""Order of the jets, batches read ahead, and a position that is saved and restored.

Blocks of contiguous rows are read; the order of the blocks is shuffled, and so are the jets
inside each group of consecutive blocks. Batch number s of a run depends on the seed and on s alone,
so that the position is one integer and a resumed run sees the batches it would have seen.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from maskformer_jax.data.batches import assemble
from maskformer_jax.data.h5 import JetFile, Records, select
from maskformer_jax.data.mirrors import check_mirrors, draw_mirrored
from maskformer_jax.data.packing import Layout, padded, seat
from maskformer_jax.data.samples import Samples, convert, join, take
from maskformer_jax.data.scaling import Scaling
from maskformer_jax.errors import InputError
from maskformer_jax.types import Batch, Labels

if TYPE_CHECKING:
    import grain

ENDLESS = 10**12
MOST_BATCHES_AHEAD = 64
# A number of a seed sequence that tells apart what is drawn from it.
BLOCK_ORDER, JET_ORDER, ROW_ORDER, MIRRORS = 0, 1, 2, 3


class TrainLoader:
    """Endless shuffled batches; every jet that is kept once per epoch.

    Attributes:
        batch_size: jets of a batch; the last of an epoch is filled up with jets that are not valid.
        jets_per_epoch: jets that are kept.
        steps_per_epoch: batches that hold them.
        skipped: jets left out because a label has them in no class.
        layout: shape of the batches; none: one part without the axis of parts.
    """

    def __init__(
        self,
        file: JetFile,
        scaling: Scaling,
        *,
        batch_size: int,
        seed: int,
        num_jets: int | None = None,
        layout: Layout | None = None,
    ):
        """Plans the epochs; reads nothing but labels of jets.

        Args:
            file: training file, with truth, of which some jets are kept; `schema.block_size`
                (rounded up to whole chunks of the file) and `group_blocks` are used.
            scaling: of inputs and targets.
            batch_size: jets of a batch.
            seed: of the order, at least 0.
            num_jets: use the first jets only; none: all.
            layout: shape of the batches, whose parts are then a leading axis; none: one part in
                the padded layout, without that axis.

        Raises:
            InputError: some jets are in no class where a label asks for an error, or a field of a
                mirror is not there.
        """
        self._file, self._scaling, self._seed = file, scaling, seed
        check_mirrors(file)
        self.batch_size, self.layout = batch_size, layout
        self._kept = file.kept()[:num_jets]
        self.jets_per_epoch = int(self._kept.sum())
        self.skipped = len(self._kept) - self.jets_per_epoch
        _refuse_unlisted(file, num_jets)
        self.steps_per_epoch = -(-self.jets_per_epoch // batch_size)

    def iterator(self) -> "grain.DatasetIterator":
        """Yields (Batch, Labels) from step 0; `get_state` and `set_state` move it.

        Batches of up to one group of blocks are prepared ahead by a thread.
        """
        source = _ShuffledBatches(
            self._file, self._scaling, self._kept, self.batch_size, self._seed, self.layout
        )
        ahead = source.block_size * self._file.schema.group_blocks // self.batch_size
        return _read_ahead(source, min(max(ahead, 2), MOST_BATCHES_AHEAD))


def read_sequential(
    file: JetFile,
    scaling: Scaling,
    batch_size: int,
    *,
    labelled_only: bool,
    num_jets: int | None = None,
    layout: Layout | None = None,
) -> Iterator[tuple[Records, Batch, Labels]]:
    """Batches in the order of the file, the next one read while the last is used.

    Args:
        file: any file that matches its schema.
        scaling: of inputs and targets.
        batch_size: jets of a batch; the last is filled up with jets that are not valid.
        labelled_only: leave out the jets that a label skips; otherwise every row is there.
        num_jets: use the first jets only; none: all.
        layout: as of `TrainLoader`.

    Yields:
        The rows of the batch as they are in the file, its inputs and its labels.
    """
    rows = np.arange(file.num_jets)[:num_jets]
    if labelled_only:
        rows = np.flatnonzero(file.kept()[:num_jets])
    batches = _read_ahead(_OrderedBatches(file, scaling, rows, batch_size, layout), 2)
    try:
        yield from batches
    finally:
        batches.close()


def block_rows(file: JetFile) -> int:
    """Rows that are read at once, on which the order of the jets depends: whole chunks."""
    return -(-file.schema.block_size // file.chunk_rows) * file.chunk_rows


def _finisher(file: JetFile, batch_size: int, layout: Layout | None):
    """What makes a batch of the jets at some positions of `Samples`."""
    chosen = layout or padded(batch_size, file.widths, pairs=file.schema.pairs)

    def finish(
        samples: Samples, index: np.ndarray, generator: np.random.Generator
    ) -> tuple[Batch, Labels]:
        counts = {name: counts[index] for name, counts in samples.counts.items()}
        found = seat(counts, len(index), chosen, generator)
        seats = np.where(found >= 0, index[found], -1)
        return assemble(samples, seats if layout else seats[0], chosen)

    return finish


def _read_ahead(source: "_ShuffledBatches | _OrderedBatches", batches: int):
    # A slow import, which nothing but a training needs.
    import grain

    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=batches)
    return iter(grain.MapDataset.source(source).to_iter_dataset(options))


def _refuse_unlisted(file: JetFile, num_jets: int | None) -> None:
    """Raises where a label asks for an error, before anything is read that is not needed."""
    for name, index in file.classes().items():
        label, jets = file.schema.labels[name], file.schema.jets.dataset
        unlisted = np.flatnonzero(index[:num_jets] < 0)
        if label.unlisted == "error" and len(unlisted):
            row = int(unlisted[0])
            value = file.read(row, row + 1).jets[label.field][0]
            raise InputError(
                f"{file.path}: `{label.field}` of dataset `{jets}` is {value} in row {row}, in no "
                f"class of {label.classes}, as in {len(unlisted) - 1} rows more; set "
                f"`data.labels.{name}.unlisted: skip` to leave such jets out"
            )


class _OrderedBatches:
    """Batch number b of a pass over some rows of a file."""

    def __init__(
        self,
        file: JetFile,
        scaling: Scaling,
        rows: np.ndarray,
        batch_size: int,
        layout: Layout | None,
    ):
        self._file, self._scaling, self._rows = file, scaling, rows
        self._batch_size, self._finish = batch_size, _finisher(file, batch_size, layout)

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, number: int) -> tuple[Records, Batch, Labels]:
        rows = self._rows[number * self._batch_size : (number + 1) * self._batch_size]
        records = self._file.read(int(rows[0]), int(rows[-1]) + 1)
        if len(rows) < len(records.jets):
            records = select(records, rows - rows[0])
        samples = convert([records], self._file.schema, self._scaling, self._file.labels)
        generator = np.random.default_rng([ROW_ORDER, number])
        return records, *self._finish(samples, np.arange(len(rows)), generator)


class _Epoch:
    """Which blocks make up each group of an epoch, and where the group's jets begin.

    Attributes:
        groups: blocks of each group.
        begins: position in the epoch of the first jet of each group, and the number of jets.
    """

    def __init__(self, generator: np.random.Generator, block_jets: np.ndarray, group_blocks: int):
        order = generator.permutation(len(block_jets))
        self.groups = [order[i : i + group_blocks] for i in range(0, len(order), group_blocks)]
        jets = [block_jets[group].sum() for group in self.groups]
        self.begins = np.concatenate([[0], np.cumsum(jets)])


class _ShuffledBatches:
    """Batch number s of a run, a function of the seed and s; remembers the groups last used."""

    def __init__(
        self,
        file: JetFile,
        scaling: Scaling,
        kept: np.ndarray,
        batch_size: int,
        seed: int,
        layout: Layout | None,
    ):
        self._file, self._scaling, self._kept = file, scaling, kept
        self._batch_size, self._seed = batch_size, seed
        self._finish = _finisher(file, batch_size, layout)
        self.block_size = block_rows(file)
        starts = np.arange(0, len(kept), self.block_size)
        self._block_jets = np.add.reduceat(kept, starts, dtype=np.int64)
        self._jets = int(kept.sum())
        self._steps = -(-self._jets // batch_size)
        self._epochs: dict[int, _Epoch] = {}
        self._groups: dict[tuple[int, int], tuple[Samples, np.ndarray]] = {}

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, step: int) -> tuple[Batch, Labels]:
        number, batch = divmod(step, self._steps)
        epoch = self._epoch(number)
        start = batch * self._batch_size
        stop = min(start + self._batch_size, self._jets)
        pieces = []
        first = int(np.searchsorted(epoch.begins, start, side="right")) - 1
        for group in range(first, int(np.searchsorted(epoch.begins, stop))):
            samples, order = self._group(number, group)
            begin = epoch.begins[group]
            pieces.append((samples, order[max(start - begin, 0) : stop - begin]))
        generator = np.random.default_rng([self._seed, ROW_ORDER, step])
        if len(pieces) == 1:
            return self._finish(*pieces[0], generator)
        joined = join([take(samples, index) for samples, index in pieces])
        return self._finish(joined, np.arange(stop - start), generator)

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            generator = np.random.default_rng([self._seed, BLOCK_ORDER, number, 0])
            self._epochs = {
                number: _Epoch(generator, self._block_jets, self._file.schema.group_blocks)
            }
        return self._epochs[number]

    def _group(self, number: int, group: int) -> tuple[Samples, np.ndarray]:
        key = (number, group)
        if key not in self._groups:
            mirrors = self._file.schema.mirrors
            turns = np.random.default_rng([self._seed, MIRRORS, number, group])
            # One after the other: of each only what is real is kept.
            blocks = (
                draw_mirrored(self._read(int(block)), mirrors, turns)
                for block in self._epoch(number).groups[group]
            )
            samples = convert(blocks, self._file.schema, self._scaling, self._file.labels)
            generator = np.random.default_rng([self._seed, JET_ORDER, number, group])
            order = generator.permutation(len(samples.jets) - 1)
            # Two groups: a batch may end in one and begin in the one before.
            kept = list(self._groups.items())[-1:]
            self._groups = dict([*kept, (key, (samples, order))])
        return self._groups[key]

    def _read(self, block: int) -> Records:
        start = block * self.block_size
        stop = min(start + self.block_size, len(self._kept))
        records = self._file.read(start, stop)
        kept = self._kept[start:stop]
        return records if kept.all() else select(records, np.flatnonzero(kept))
