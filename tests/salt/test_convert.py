"""Converted checkpoints, and their ONNX files, say what Salt and its own say (`record.py`)."""

import os
import shutil
import subprocess
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from variants import VARIANTS

from maskformer_jax.data import JetFile, read_sequential
from maskformer_jax.data.packing import plan_layout
from maskformer_jax.evaluation.trained import load_run
from maskformer_jax.export.run import Options, exported_of, onnx_of, output_names, session
from maskformer_jax.salt.convert import convert
from maskformer_jax.training.batches import used_parts

RECORDED = Path(__file__).with_name("recorded")
NETWORKS = (
    *("gn2", "maskformer", "maskformer_main", "streams", "dips", "dl1", "hybrid", "gn2_011"),
)


def write_file(path, recorded, variables):
    """The recorded jets as a file, whose other fields are zero."""
    with h5py.File(path, "w") as file:
        for place, fields in variables.items():
            values, valid = recorded[place], recorded.get(f"{place}_valid")
            table = np.zeros(values.shape[:-1], [*((x, "f4") for x in fields), ("valid", "?")])
            for column, name in enumerate(fields):
                table[name] = values[..., column]
            table["valid"] = True if valid is None else valid
            file[place] = table


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """Folder of all `VARIANTS`, made and recorded now."""
    python = os.environ.get("PEERS_PYTHON", ".peers/bin/python")
    if shutil.which(python) is None:
        pytest.skip(f"no Salt: benchmarks/peers.sh makes {python}, PEERS_PYTHON names another")
    folder = tmp_path_factory.mktemp("variants")
    command = [python, "-m", "tests.salt.record", "--variants", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(
    scope="module",
    params=[*NETWORKS, *(pytest.param(x, marks=pytest.mark.campaign) for x in VARIANTS)],
)
def network(request, tmp_path_factory):
    """A converted run, its jets in a file, and what Salt says of them."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    recorded = RECORDED if name in NETWORKS else request.getfixturevalue("variants")
    paths = recorded / f"{name}.ckpt", recorded / f"{name}.yaml"
    assert convert(*paths, folder / "run", {}) == []
    trained = load_run(folder / "run")
    with np.load(recorded / f"{name}.npz") as file:
        recorded = dict(file)
    data = trained.config.data
    variables = {"jets": data.jets.inputs} | {x: y.inputs for x, y in data.streams.items()}
    write_file(folder / "jets.h5", recorded, variables)
    return trained, folder / "jets.h5", recorded


def read(trained, path, packed):
    """Batches of all jets of a file, and what the network makes of them."""
    file = JetFile(path, trained.model.schema, truth="optional")
    options = {"labelled_only": False}
    if packed:
        options["layout"] = plan_layout(file, file.num_jets, extra=trained.model.tokens, parts=1)
    apply = jax.jit(trained.model.apply)
    for _, batch, labels in read_sequential(file, trained.scaling, file.num_jets, **options):
        for part, _ in used_parts(batch, labels) if packed else [(batch, labels)]:
            yield jax.tree.map(np.asarray, (part, apply(trained.params, part)))


class Places:
    """Where the jets of a batch, and the constituents of a stream, are in the recorded file."""

    def __init__(self, trained, batch, recorded):
        inputs = trained.scaling.jets
        scaled = (recorded["jets"] - inputs.mean) / inputs.std
        distance = np.abs(batch.jets[:, None] - scaled[None]).max(-1)
        self.jets = np.where(batch.jet_valid, distance.argmin(1), -1)
        self.real = np.flatnonzero(self.jets >= 0)

    def constituents(self, stream):
        """Row of the file and column of each real constituent of the batch, -1 for padding."""
        own = stream.jets_of_rows()
        jet, column = np.full((2, *own.shape[::2]), -1)
        for seat, mine in enumerate(own.reshape(-1, own.shape[2])):
            row = seat // own.shape[1]
            jet[row, mine], column[row, mine] = self.jets[seat], np.arange(mine.sum())
        return jet, column


def close(found, expected, size=None, relative=2e-6):
    """As near as single precision allows, at the size of the largest of all entries."""
    assert found.shape == expected.shape and np.isfinite(found).all()
    size = np.abs(expected).max(initial=0) if size is None else size
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 + relative * size)


def check_edges(output, batch, of, places, expected):
    """Both directions of every pair."""
    jet, column = places.constituents(batch.streams[of])
    pairs = batch.pairs[of]
    rows, groups = len(jet) // len(pairs.first), np.arange(len(pairs.first))[:, None]
    width = jet.shape[1]
    at = [(groups * rows + x // width, x % width) for x in (pairs.first, pairs.second)]
    one, two = ((jet[x][pairs.valid], column[x][pairs.valid]) for x in at)
    assert (one[0] == two[0]).all()
    close(output.forward[pairs.valid], expected[one[0], one[1], two[1]])
    close(output.backward[pairs.valid], expected[one[0], two[1], one[1]])
    return pairs.valid.sum()


def check_objects(output, batch, of, places, expected):
    """Classes, properties and masks of every query."""
    objects, at = output.objects, places.jets[places.real]
    close(objects.class_logits[places.real], expected["class_logits"][at])
    close(objects.regression[places.real], expected["regression"][at])
    jet, column = places.constituents(batch.streams[of])
    seats, masks = len(places.jets) // len(jet), expected["masks"]
    size = np.abs(masks[masks > np.finfo(np.float32).min]).max()
    for seat in places.real:
        mine = jet[seat // seats] == places.jets[seat]
        found = objects.mask_logits[seat][:, mine]
        columns = column[seat // seats][mine]
        close(found, masks[places.jets[seat]][:, columns], size, relative=1e-5)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
def test_outputs_are_those_of_salt(network, packed):
    trained, path, recorded = network
    expected = {x.removeprefix("output/"): y for x, y in recorded.items() if "/" in x}
    seen, edges = [], 0
    for batch, outputs in read(trained, path, packed):
        places = Places(trained, batch, recorded)
        seen += places.jets[places.real].tolist()
        for task in trained.model.tasks:
            output, wanted = outputs[task.name], expected.get(task.name)
            if task.options.kind == "objects":
                check_objects(output, batch, "tracks", places, expected)
                continue
            if task.options.kind == "regression":
                close(output[places.real], wanted[places.jets[places.real]])
                if task.options.loss == "gaussian":
                    std = task.predict(*jax.tree.map(jnp.asarray, (output, batch)), {})["std"]
                    std = np.asarray(std) * trained.scaling.targets[task.name].std
                    wanted = expected[f"{task.name}_stddev"]
                    close(std[places.real], wanted[places.jets[places.real]])
                continue
            of = trained.config.data.labels[task.options.label].of
            if task.options.kind == "edges":
                edges += check_edges(output, batch, of, places, wanted)
            elif of == "jets":
                close(output[places.real], wanted[places.jets[places.real]])
            else:
                jet, column = places.constituents(batch.streams[of])
                close(output[jet >= 0], wanted[jet[jet >= 0], column[jet >= 0]])
    assert sorted(seen) == list(range(len(recorded["jets"])))
    if "track_vertexing" in expected:
        assert 2 * edges == np.isfinite(expected["track_vertexing"]).sum()


def test_an_exported_network_says_what_the_file_of_salt_says(network):
    trained, _, recorded = network
    wanted = {x.removeprefix("onnx/"): y for x, y in recorded.items() if x.startswith("onnx/")}
    if not wanted:
        pytest.skip("Salt can't export it")
    # Of objects Salt's file says wrong things, or nothing.
    tasks = [task.name for task in trained.model.tasks if task.options.kind != "objects"]
    exported = exported_of(trained, Options(tasks=[x for x in tasks if x != "flow_origin"]))
    names = output_names(exported, "Salt", ())
    assert {*names.values()} == wanted.keys()
    run = session(onnx_of(exported, trained.config, names, "Salt"))
    for jet in range(len(recorded["jets"])):
        valid = {x: recorded[f"{x}_valid"][jet] for x in trained.config.data.streams}
        given = {
            x.name: recorded[x.place][[jet]]
            if x.place == "jets"
            else recorded[x.place][jet][valid[x.place]]
            for x in exported.inputs
        }
        for name, found in run(given).items():
            values = wanted[name][jet]
            if values.ndim:
                np.testing.assert_array_equal(found, values[: len(found)])
                assert (values[len(found) :] == -128).all()
            else:
                np.testing.assert_allclose(found, values, rtol=0, atol=2e-6)
