"""Exported networks on files: what they say there, alone and in place of their run."""

import json

import h5py
import numpy as np
import onnx
import pytest

from maskformer_jax.__main__ import main as maskformer
from maskformer_jax.data import JetFile
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation import run as evaluation
from maskformer_jax.evaluation.trained import load_run
from maskformer_jax.export.function import inputs_of
from maskformer_jax.export.reading import load_onnx, raw
from maskformer_jax.export.run import session
from maskformer_jax.inference import load


@pytest.fixture(scope="module", params=["objects", "edges"])
def network(request, run, edges_run):
    return {"objects": run, "edges": edges_run}[request.param]


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """Files of one jet and of many, by the command line."""
    folder = tmp_path_factory.mktemp("exported")
    for name, more in (("one", []), ("many", ["--batched"])):
        words = ["export", "--run", str(network), "--output", str(folder / f"{name}.onnx")]
        assert maskformer([*words, *more]) == 0
    return folder


def test_one_jet_after_another_as_in_a_prediction_file(network, exported, test_path):
    """From raw fields, so that scaling and names are held too."""
    trained, found = load_run(network), load(network).predict(test_path)
    run, inputs = session(str(exported / "one.onnx")), inputs_of(trained.model.schema, False)
    file = JetFile(test_path, trained.model.schema, truth="optional")
    records = file.read(0, 60)
    file.close()
    arrays = {x.name: raw(x, records, trained.model.schema, 60) for x in inputs}
    index = records.streams["tracks"].index
    for jet in range(60):
        kept = index[jet][index[jet] >= 0]
        jets, tracks = arrays["jet_features"][[jet]], arrays["track_features"][jet, : len(kept)]
        said = run({"jet_features": jets, "track_features": tracks})
        for field in found["jets"].dtype.names:
            given = said[field.replace("ptaus", "ptau")]
            np.testing.assert_allclose(given, found["jets"][field][jet], rtol=2e-5, err_msg=field)
        in_file = found["tracks"][jet][kept]
        if "Tagger_VertexIndex" in said:
            # Numbers of vertices are places of tracks: those of the network, and in the file.
            vertex = in_file["Tagger_aux_VertexIndex"]
            np.testing.assert_array_equal(said["Tagger_VertexIndex"], vertex)
        np.testing.assert_array_equal(said["Tagger_TrackOrigin"], in_file["Tagger_aux_TrackOrigin"])


def test_metrics_are_those_of_the_run(network, exported, test_path, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "draw_plots", lambda *_: None)
    options = ["--test_file", str(test_path), "--evaluation.display.first=0"]
    results = []
    for words in (["--run", str(network)], ["--onnx", str(exported / "many.onnx")]):
        folder = tmp_path / words[0]
        assert maskformer(["evaluate", *words, *options, "--output_dir", str(folder)]) == 0
        results.append(json.loads((folder / "metrics.json").read_text()))
    of_run, of_file = ({k: x for k, x in flat(r).items() if "baseline" not in k} for r in results)
    assert len(of_file) > 50
    for name, value in of_file.items():
        if isinstance(value, float):
            np.testing.assert_allclose(value, of_run[name], rtol=1e-3, atol=1e-5, err_msg=name)


def flat(tree, path=""):
    """Path -> number of nested dictionaries and lists."""
    if not isinstance(tree, dict | list):
        return {path: tree}
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {k: x for key, part in pairs for k, x in flat(part, f"{path}/{key}").items()}


def test_predictions_alone(run, test_path, tmp_path):
    words = ["--run", str(run), "--test_file", str(test_path), "--output_dir", str(tmp_path / "a")]
    assert maskformer(["evaluate", *words, "--predict_only"]) == 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["predictions.h5"]
    with h5py.File(tmp_path / "a" / "predictions.h5") as file:
        assert len(file["jets"]) == 60 and "Tagger_pb" in file["jets"].dtype.names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "{one}"], "`--output` must be a new file"),
        (["--output", "{folder}/none/x.onnx"], "`--output` must be in a folder that exists"),
        (["--output", "{new}", "--tasks", "jet_clas"], "did you mean `jet_class`?"),
        (["--output", "{new}", "--name", "GN2_v1"], "`--name` must be letters and digits"),
        (["--output", "{new}", "--track_selection", "r22"], "track selection"),
        (["--output", "{new}", "--format", "tflite"], "invalid choice: 'tflite'"),
        (["--output", "{new}", "--rename", "pq=pb"], "no output (--rename) is called 'pq'"),
        (["--output", "{new}", "--rename", "pb=p b"], "`--rename` must have letters, digits and"),
    ],
)
def test_wrong_words_leave_no_file(run, tmp_path, capsys, words, message):
    one, new = tmp_path / "one.onnx", tmp_path / "new.onnx"
    one.write_text("mine")
    words = [word.format(one=one, new=new, folder=tmp_path) for word in words]
    assert maskformer(["export", "--run", str(run), *words]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one.onnx"]


def test_other_files_are_no_networks(exported, tmp_path):
    (tmp_path / "text.onnx").write_text("this is not ONNX")
    rows = {
        tmp_path / "none.onnx": "must be a file",
        tmp_path / "text.onnx": "not a readable ONNX file",
        exported / "one.onnx": "takes one jet at a time",
    }
    for path, message in rows.items():
        with pytest.raises(InputError, match=message):
            load_onnx(path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"batched": true, "outputs": {}, "config": 3}'])
def test_damaged_metadata_is_one_line(exported, tmp_path, text):
    model = onnx.load(exported / "many.onnx")
    for entry in model.metadata_props:
        entry.value = text
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(InputError, match="its `maskformer_jax` metadata is damaged"):
        load_onnx(tmp_path / "damaged.onnx")


def test_a_network_that_does_not_do_what_its_metadata_say_is_one_line(
    exported, test_path, tmp_path, capsys
):
    """An output has another name, an input another width, or a weight is no number."""
    for part in ("output", "input", "weight"):
        model = onnx.load(exported / "many.onnx")
        if part == "output":
            old = next(x.name for x in model.graph.output if x.name.endswith("logits"))
            text = model.graph.SerializeToString().replace(old.encode(), b"z" * len(old))
            model.graph.ParseFromString(text)
        elif part == "weight":
            for weight in model.graph.initializer:
                values = onnx.numpy_helper.to_array(weight)
                if values.dtype == np.float32 and values.size > 20:
                    weight.CopyFrom(onnx.numpy_helper.from_array(values * np.nan, weight.name))
        else:
            model.graph.input[0].type.tensor_type.shape.dim[1].dim_value += 1
        onnx.save(model, tmp_path / f"{part}.onnx")
        words = ["--test_file", str(test_path), "--output_dir", str(tmp_path / "out")]
        assert maskformer(["evaluate", "--onnx", str(tmp_path / f"{part}.onnx"), *words]) == 2
        assert f"{part}.onnx: " in capsys.readouterr().err
        assert not (tmp_path / "out" / "metrics.json").exists()
