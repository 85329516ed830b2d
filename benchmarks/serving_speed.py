"""Jets/s of exported networks on one core: one jet after another, and many at once, beside JAX."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

import jax
import numpy as np

from benchmarks.made import SAMPLE, load, timed
from benchmarks.peer_process import Ask, salt_settings
from benchmarks.tables import Table
from benchmarks.turns import rounds
from maskformer_jax.build import build
from maskformer_jax.data.scaling import unfitted
from maskformer_jax.evaluation.trained import Trained, load_run
from maskformer_jax.export.check import RANDOM_JETS, Jets, made_up
from maskformer_jax.export.function import Exported
from maskformer_jax.export.run import Options, exported_of, onnx_of, output_names, session
from maskformer_jax.salt.convert import convert

JETS = 50


def speeds(networks: Sequence[str], repeats: int) -> Table:
    """Jets/s of networks as they begin, on made-up jets with any number of tracks up to the cap.

    JAX has all jets padded to the cap, one after another or at once: it compiles for each shape.

    Args:
        networks: YAML files, or names of some in `configs`.
        repeats: turns of each, of which the median counts.
    """
    columns = {"network": "", "kB": ",.0f"}
    columns |= {f"{who}, {how}": ",.0f" for who in ("onnxruntime", "JAX") for how in ("one", JETS)}
    return Table(
        "Exported networks, jets/s on one core", columns, [_row(x, repeats) for x in networks]
    )


def _row(network: str, repeats: int) -> list[str | float]:
    config = load(network)
    model = build(config)
    trained = Trained(config, unfitted(model.schema), model, model.params, None)
    one, many = (exported_of(trained, Options(batched=batched)) for batched in (False, True))
    # The last ones have random numbers of constituents.
    jets = made_up(many).at(np.arange(JETS) % RANDOM_JETS - RANDOM_JETS)
    files = [onnx_of(x, config, output_names(x, "Tagger", ()), "Tagger") for x in (one, many)]
    works = {
        "file, one": _one_by_one(session(files[0]), one, jets),
        "file, many": _at_once(session(files[1]), many, jets),
        "JAX, one": _with_jax(many, jets, 1),
        "JAX, many": _with_jax(many, jets, JETS),
    }
    return [network, len(files[0]) / 1e3, *_rates(works, repeats)]


def _rates(works: Mapping[str, Callable[[], object]], repeats: int) -> Iterator[float]:
    """Jets/s of works on all jets that take turns."""
    seconds = rounds({name: lambda w=work: timed(w)[0] for name, work in works.items()}, repeats)
    return (JETS / median(x) for x in seconds.values())


def beside_salt(ask: Ask, networks: Sequence[str], repeats: int) -> Table:
    """Jets/s of Salt's own file of a checkpoint and of ours, one jet after another.

    Both have the classes of jets and of tracks and, for a GN2, the vertices.

    Args:
        ask: Salt.
        networks: names in `configs` of which Salt has the like.
        repeats: turns of each, of which the median counts.
    """
    columns = {"network": "", "Salt, kB": ",.0f", "kB": ",.0f", "Salt": ",.0f", "ours": ",.0f"}
    rows = [[x, *_same_checkpoint(ask, x, repeats)] for x in networks]
    return Table("Two files of one checkpoint, jets/s on one core", columns, rows)


def _same_checkpoint(ask: Ask, network: str, repeats: int) -> list[float]:
    config = load(network, file=SAMPLE)
    caps = {name: stream.cap for name, stream in config.data.streams.items()}
    with tempfile.TemporaryDirectory() as folder:
        salt, run = Path(folder) / "salt", Path(folder) / "run"
        ask("export", salt_settings(config) | {"num_inputs": caps}, folder)
        convert(salt.with_suffix(".ckpt"), salt.with_suffix(".yaml"), run, {})
        trained, theirs = load_run(run), salt.with_suffix(".onnx").read_bytes()
    tasks = [name for name, x in trained.config.tasks.items() if x.kind != "objects"]
    exported = exported_of(trained, Options(tasks=tasks))
    ours = onnx_of(exported, trained.config, output_names(exported, "Tagger", ()), "Tagger")
    jets = made_up(exported).at(np.arange(JETS) % RANDOM_JETS - RANDOM_JETS)
    works = {
        name: _one_by_one(session(file), exported, jets)
        for name, file in (("Salt", theirs), ("ours", ours))
    }
    return [len(theirs) / 1e3, len(ours) / 1e3, *_rates(works, repeats)]


def _one_by_one(run: Callable, exported: Exported, jets: Jets) -> Callable[[], None]:
    names = [x.name for x in exported.inputs]
    given = [dict(zip(names, jets.one(k, exported.inputs), strict=True)) for k in range(JETS)]

    def work() -> None:
        for arrays in given:
            run(arrays)

    return work


def _at_once(run: Callable, exported: Exported, jets: Jets) -> Callable[[], None]:
    names = [x.name for x in exported.inputs]
    arrays = dict(zip(names, jets.batch(exported.inputs), strict=True))
    return lambda: run(arrays)


def _with_jax(exported: Exported, jets: Jets, number: int) -> Callable[[], list]:
    function = jax.jit(lambda *arrays: exported(*arrays))
    arrays = jets.batch(exported.inputs)
    parts = [[x[k : k + number] for x in arrays] for k in range(0, JETS, number)]
    return lambda: [function(*part) for part in parts]
