"""The ONNX file says what JAX says, Athena can read it, and a wrong one is found out."""

import json

import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from networks import exported, make
from scipy.sparse.csgraph import connected_components

from maskformer_jax.errors import InputError
from maskformer_jax.export import athena
from maskformer_jax.export.check import compare, made_up
from maskformer_jax.export.indices import vertices
from maskformer_jax.export.run import session


@pytest.mark.parametrize("batched", [False, True])
def test_every_output_is_that_of_jax(files, trained, batched):
    function, names, content = files[batched]
    text = compare(function, session(content), trained.config, names)
    assert f"{len(names)} outputs of 29 jets agree with JAX to" in text


# A part of each head -> an output that shows it.
PARTS = {
    "jet_class.network": "pb",
    "track_origin.network": "TrackOrigin",
    "electron_class.network": "ElectronClass",
    "mass.network": "mass_stddev",
    "slope.network": "y",
    "vertexing.network": "VertexIndex",
    "hadrons.decoder.heads.object_class": "hadronIndex",
    "hadrons.decoder.heads.mask_token": "hadronIndex",
    "hadrons.decoder.heads.regression": "leading_hadron_size",
    "hadrons.decoder.heads.means.gain": "leading_hadron_size",
}


@pytest.mark.parametrize(("part", "output"), PARTS.items())
def test_a_weight_that_differs_in_a_head_is_found(files, trained, part, output):
    function, names, content = files[False]

    def moved(path, x):
        place = ".".join(str(key.key) for key in path)
        return x + 0.7 if f"heads.{part}." in place and place.endswith("kernel") else x

    params = jax.tree_util.tree_map_with_path(moved, function.params)
    only = [x for x in function.outputs if x.name == output]
    other = function._replace(params=params, outputs=only)
    with pytest.raises(InputError, match=rf"so nothing is written: `{output}` of made-up jet"):
        compare(other, session(content), trained.config, names)


class AthenaError(Exception):
    """What the reader throws."""


def read_as_athena(content):
    """What SaltModel.cxx makes of a file: name, metadata, outputs with their kind, and session."""
    model = onnx.load_from_string(content)
    if model.ir_version > 9 or any(x.version > 20 for x in model.opset_import if not x.domain):
        raise AthenaError("a newer onnxruntime is needed")
    opened = onnxruntime.InferenceSession(content)
    meta = json.loads(opened.get_modelmeta().custom_metadata_map["gnn_config"])
    if meta["onnx_model_version"] != "v1":
        raise AthenaError("unknown version")
    kinds = {("tensor(float)", 0): "float", ("tensor(float)", 1): "vecfloat"}
    kinds |= {("tensor(int8)", 1): "vecchar"}
    outputs = {}
    for node in opened.get_outputs():
        if (node.type, len(node.shape)) not in kinds:
            raise AthenaError(f"Unsupported tensor {node.name}")
        outputs[node.name] = kinds[node.type, len(node.shape)]
    prefixes = {name.partition("_")[0] for name in outputs}
    if len(prefixes) != 1:
        raise AthenaError("model names are not consistent between outputs")
    assert len(meta["inputs"]) <= 1
    given = {"jet_features": len(meta["inputs"][0]["variables"])}
    for node in meta["input_sequences"]:
        kind = next(x for x in ("tracks", "flows", "hits", "electrons") if x in node["name"])
        assert all({"name", "offset", "scale"} == x.keys() for x in node["variables"])
        given[f"{kind[:-1]}_features"] = len(node["variables"])
    there = {x.name: x.shape[1] for x in opened.get_inputs()}
    assert there == given and all(x.type == "tensor(float)" for x in opened.get_inputs())
    return prefixes.pop(), meta, outputs, opened


def test_athena_reads_the_file(files):
    name, meta, outputs, opened = read_as_athena(files[False][2])
    assert name == "Tagger"
    assert [x["name"] for x in meta["input_sequences"]] == [
        "tracks_r22default_sd0sort", "electrons_r22default", "flows_r22default_sd0sort"
    ]  # fmt: skip
    assert outputs == {
        "Tagger_pb": "float",
        "Tagger_plight": "float",
        "Tagger_TrackOrigin": "vecchar",
        "Tagger_ElectronClass": "vecchar",
        "Tagger_mass": "float",
        "Tagger_mass_stddev": "float",
        "Tagger_x": "vecfloat",
        "Tagger_y": "vecfloat",
        "Tagger_VertexIndex": "vecchar",
        "Tagger_leading_hadron_size": "float",
        "Tagger_hadronIndex": "vecchar",
    }
    # A jet without anything.
    empty = {x.name: np.zeros((x.shape[0] if x.name == "jet_features" else 0, x.shape[1]), "f4")
             for x in opened.get_inputs()}  # fmt: skip
    empty["jet_features"] += 3.0
    found = dict(zip(outputs, opened.run(None, empty), strict=True))
    assert found["Tagger_pb"].shape == () and np.isfinite(found["Tagger_pb"])
    assert found["Tagger_VertexIndex"].shape == (0,) and found["Tagger_y"].shape == (0,)


def test_the_reader_refuses_what_athena_refuses(files):
    with pytest.raises(AthenaError, match=r"Unsupported tensor jet_class\.logits"):
        read_as_athena(files[True][2])


def test_inputs_outputs_and_run_are_described(files, trained):
    model = onnx.load_from_string(files[False][2])
    about = json.loads({x.key: x.value for x in model.metadata_props}["maskformer_jax"])
    assert about["outputs"]["Tagger_TrackOrigin"]["classes"] == [
        "Pileup", "Fake", "FromB", "Primary"
    ]  # fmt: skip
    low, high = about["inputs"]["jet_features"]["fields"]["pt"]["range"]
    assert 0 < low < 9 < high
    assert about["trained_with_at_most"] == {"tracks": 4, "electrons": 2, "flow": 4}


def test_vertices_are_connected_components():
    generator = np.random.default_rng(0)
    chain = np.eye(128, k=1, dtype=bool)
    graphs = [generator.random((128, 128)) < p for p in (0.0, 0.004, 0.01, 0.5)]
    graphs = np.array([*graphs, chain])
    graphs[:, -1], graphs[:, :, -1] = False, False
    graphs |= graphs.swapaxes(1, 2)
    for graph, found in zip(graphs, np.asarray(jax.jit(vertices)(graphs)), strict=True):
        _, component = connected_components(graph)
        first = np.array([np.flatnonzero(component == x)[0] for x in component])
        np.testing.assert_array_equal(found, first)


def test_more_constituents_than_an_index_has_are_refused(files):
    function, _, content = files[False]
    one = made_up(function).one(4, function.inputs)
    arrays = {x.name: y for x, y in zip(function.inputs, one, strict=True)}
    run = session(content)
    tracks = np.zeros((128, 2), "f4")
    assert len(run(arrays | {"track_features": tracks[:127]})["Tagger_VertexIndex"]) == 127
    with pytest.raises(Exception, match="out of data bounds"):
        run(arrays | {"track_features": tracks})


def test_jets_alone(tmp_path):
    from made_up_config import JETS_ALONE

    trained = make(tmp_path, text=JETS_ALONE)
    function, names = exported(trained)
    from maskformer_jax.export.run import onnx_of

    content = onnx_of(function, trained.config, names, "Tagger")
    assert "2 outputs" in compare(function, session(content), trained.config, names)
    assert "tracks only" in next(athena.warnings(function.inputs, trained.model.schema))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["jet_clas"]}, "did you mean `jet_class`"),
        ({"rename": ["pb"]}, "`--rename` must be old=new; got 'pb'"),
        ({"rename": ["pq=x"]}, "no output .--rename. is called 'pq'"),
        ({"rename": ["pb=plight"]}, "two outputs are called `plight`"),
    ],
)
def test_wrong_options_are_refused_in_a_line(trained, changes, message):
    with pytest.raises(InputError, match=message):
        exported(trained, **changes)


def test_names_are_changed(trained):
    _, names = exported(trained, tasks=["jet_class"], rename=["pb=pbottom"])
    assert names == {"pb": "Tagger_pbottom", "plight": "Tagger_plight"}


def test_what_athena_does_not_have_is_said(trained):
    inputs = exported(trained)[0].inputs
    said = list(athena.warnings(inputs, trained.model.schema))
    assert said[0] == "Athena has no field `x`, `y` of tracks"
    with pytest.raises(InputError, match="did you mean `r22loose`"):
        athena.metadata(inputs, [], "Tagger", "r22_loose")
    with pytest.raises(InputError, match="letters and digits"):
        athena.name_of("Tagger", "GN2_v1")
    assert athena.name_of("mask-former_2", None) == "maskformer2"
