"""ONNX files of converted checkpoints say what Salt says; `record.py` recorded it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from maskformer_jax.evaluation.trained import load_run
from maskformer_jax.export.run import Options, exported_of, onnx_of, output_names, session
from maskformer_jax.salt.convert import convert
from maskformer_jax.types import JETS

RECORDED = Path(__file__).with_name("recorded")


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def vertices(logits):
    """The first track of each one's vertex, from the logits of all ordered pairs."""
    mean = (logits + logits.T) / 2
    np.fill_diagonal(mean, -1)
    _, component = connected_components(mean >= 0)
    return [np.flatnonzero(component == x)[0] for x in component]


@pytest.mark.parametrize("name", ["gn2", "maskformer"])
def test_an_exported_checkpoint_says_what_salt_says(name, tmp_path):
    convert(RECORDED / f"{name}.ckpt", RECORDED / f"{name}.yaml", tmp_path / "run", {})
    trained = load_run(tmp_path / "run")
    exported = exported_of(trained, Options())
    names = output_names(exported, "Salt", ())
    run = session(onnx_of(exported, trained.config, names, "Salt"))
    with np.load(RECORDED / f"{name}.npz") as file:
        recorded = dict(file)
    assert sorted(recorded["tracks_valid"].sum(1))[::6] == [0, 40]
    for jet, real in enumerate(recorded["tracks_valid"]):
        jets, tracks = recorded["jets"][[jet]], recorded["tracks"][jet][real]
        given = {"jet_features": jets.astype("f4"), "track_features": tracks.astype("f4")}
        found = run(given)
        for task in trained.model.tasks:
            said = [found[names[x.name]] for x in exported.outputs if x.task == task.name]
            salts = recorded.get(f"output/{task.name}")
            if task.options.kind == "edges":
                np.testing.assert_array_equal(said[0], vertices(salts[jet][real][:, real]))
            elif task.options.kind == "classification":
                of = trained.config.data.labels[task.options.label].of
                if of == JETS:
                    np.testing.assert_allclose(said, softmax(salts[jet]), atol=2e-6)
                else:
                    np.testing.assert_array_equal(said[0], salts[jet][real].argmax(-1))
