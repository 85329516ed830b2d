"""What is not converted, or damaged, is refused in one line that names it; nothing is written."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from maskformer_jax.__main__ import main
from maskformer_jax.configuration import dump, read_file
from maskformer_jax.errors import InputError
from maskformer_jax.salt.checkpoint import load, state_of
from maskformer_jax.salt.configuration import convert

RECORDED = Path(__file__).with_name("recorded")
ARGS = "model.model.init_args"


def config_of(name):
    return read_file(RECORDED / f"{name}.yaml", foreign=True)


def change(tree, path, value):
    """Sets what is at a dotted path; a number is a place in a list."""
    *inner, last = path.split(".")
    for key in inner:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    tree[int(last) if isinstance(tree, list) else last] = value


ENCODER = f"{ARGS}.encoder.init_args"
TASK = f"{ARGS}.tasks.init_args.modules.0"
# Network, dotted path, value -> what the message names.
CHANGES = {
    "another class": ("gn2", f"{ARGS}.encoder.class_path", "salt.models.ParT", "salt.models.ParT"),
    "a class of another module": ("gn2", f"{TASK}.class_path", "os.ClassificationTask", "os.Class"),
    "cross attention": ("gn2", f"{ARGS}.encoder.class_path",
                        "salt.models.TransformerCrossAttentionEncoder", "TransformerCross"),
    "another attention": ("gn2_011", f"{ENCODER}.mha_config.attention.class_path",
                          "salt.models.GATv2Attention", "GATv2Attention"),
    "no output of the attention": ("gn2_011", f"{ENCODER}.mha_config.out_proj", False,
                                   "mha_config.out_proj"),
    "no feed-forward layer": ("gn2_011", f"{ENCODER}.dense_config", None, "dense_c"),
    "norms of queries": ("gn2", f"{ENCODER}.attn_kwargs.do_qk_norm", True, "do_qk"),
    "several dense layers": ("gn2", f"{ENCODER}.num_dense", 2, "num_dense"),
    "no last norm": ("gn2", f"{ENCODER}.do_final_norm", False, "do_final_norm"),
    "edges of the encoder": ("gn2", f"{ENCODER}.edge_embed_dim", 8, "edge_embed_dim"),
    "muP": ("gn2", f"{ENCODER}.mup", True, "encoder.init_args.mup"),
    "positions": ("gn2", f"{ARGS}.init_nets.0.pos_enc", {"dim": 8}, "init_nets.0.pos_enc"),
    "featurewise": ("gn2", f"{ARGS}.featurewise_nets", [{}], "featurewise_nets"),
    "binary": ("gn2", f"{TASK}.init_args.loss.class_path", "torch.nn.BCEWithLogitsLoss", "BCEWith"),
    "a mixture": ("gn2", f"{TASK}.class_path", "salt.models.MixtureDensityTask", "MixtureDensity"),
    "a scaler of jets": ("hybrid", f"{ARGS}.tasks.init_args.modules.3.init_args.scaler",
                         {"class_path": "salt.utils.scalers.RegressionTargetScaler"}, "scaler"),
    "scaled layers": ("gn2", f"{ENCODER}.ls_init", 0.1, "ls_init"),
    "an activation": ("gn2", f"{ARGS}.init_nets.0.dense_config.activation", "GELU", "'GELU'"),
    "an option": ("gn2", f"{ENCODER}.numlayers", 2, "num_layers"),
    "edges": ("gn2", f"{ARGS}.edge_init_nets", [{}], "edge_init_nets"),
    "parameters": ("gn2", "data.variables.PARAMETERS", ["mass"], "data.variables.PARAMETERS"),
    "selections": ("gn2", "data.selections", {"tracks": []}, "data.selections"),
    "no classes": ("gn2", f"{TASK}.init_args.class_names", None, "--classes jets_classification"),
    "no masks": ("maskformer", f"{ARGS}.mask_decoder.init_args.md_config.mask_attention", False,
                 "mask_attention"),
    "a pooling": ("maskformer", f"{ARGS}.pool_net.class_path", "salt.models.NodeQueryGAP",
                  "NodeQueryGAP"),
    "a scaler": ("maskformer", f"{ARGS}.tasks.init_args.modules.1.init_args.scaler.init_args."
                 "scales.pt.op", "exp", "scaler.pt"),
    "another width": ("gn2", f"{ENCODER}.dense_kwargs.hidden_dim", "wide", "hidden"),
    "no networks": ("dl1", f"{ARGS}.init_nets", [], "init_nets` must hold a network"),
    "a list for a name": ("dl1", f"{TASK}.init_args.name", [], "init_args.name` must be a str"),
    "a number for a stream": ("gn2", f"{ARGS}.init_nets.0.input_name", 3, "input_name` must be"),
    "text for a class": ("dl1", f"{TASK}.init_args.label_map", {"a": 1}, "label_map` must be of"),
    "no weight": ("maskformer", f"{ARGS}.mask_decoder.init_args.loss_config.loss_weights.mask_ce",
                  None, "`loss_weights.mask_ce` must be a number"),
    "no number": ("maskformer", "data.mf_config.object.object_classes.b.mapped", None, "b.mapped`"),
    "text for epochs": ("gn2", "trainer", {"max_epochs": "x"}, "`trainer.max_epochs` must be a n"),
    "no model": ("gn2", "model", 3, "`model`"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "path", "value", "said"), CHANGES.values(), ids=CHANGES)
def test_what_is_not_converted_is_named(name, path, value, said):
    config = config_of(name)
    change(config, path, value)
    with pytest.raises(InputError) as found:
        convert(config, state_of(RECORDED / f"{name}.ckpt"), {})
    assert said in str(found.value) and "\n" not in str(found.value)


def run(tmp_path, *words):
    """Exit code of the command, which leaves nothing."""
    code = main(["convert-salt", *map(str, words), f"--output_dir={tmp_path / 'run'}"])
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".run*"))
    return code


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ("gn2_small", "has no parameter"),
        ("dips", "`model.init_nets.0.net.net.0.weight` has shape (16, 7) in the checkpoint"),
        ("shape", "`model.encoder.registers` has shape (2, 16) in the checkpoint and (1, 16)"),
        ("more", "`model.tasks.9.net.net.0.weight` of the checkpoint has no place"),
        ("infinite", "`model.encoder.registers` of the checkpoint is not finite"),
        ("large", "`model.encoder.registers` of the checkpoint is not finite"),
        ("spread", "`norm.tracks_stds` of the checkpoint must be finite and positive; got 0.0 of "),
        ("weights", "the checkpoint has 1 weights of the 4 classes of jets_classification"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(checkpoint, said, tmp_path, monkeypatch, capsys):
    state = state_of(RECORDED / "gn2.ckpt")
    registers = "model.encoder.registers"
    match checkpoint:
        case "gn2_small":
            del state["model.encoder.out_proj.weight"]
        case "dips":
            state["model.init_nets.0.net.net.0.weight"] = np.zeros((16, 6), np.float32)
            said = said.replace("(16, 7)", "(16, 6)")
        case "shape":
            state[registers] = np.zeros((2, 16), np.float32)
        case "more":
            state["model.tasks.9.net.net.0.weight"] = np.zeros((1, 1), np.float32)
        case "infinite":
            state[registers] = np.full((1, 16), np.inf, np.float32)
        case "large":
            state[registers] = np.full((1, 16), 1e300)
        case "spread":
            state["norm.tracks_stds"][0] = 0.0
        case "weights":
            state["model.tasks.0.loss.weight"] = np.ones(())
    monkeypatch.setattr("maskformer_jax.salt.convert.state_of", lambda path: state)
    files = (
        f"--{x}={RECORDED / y}" for x, y in (("checkpoint", "gn2.ckpt"), ("config", "gn2.yaml"))
    )
    assert run(tmp_path, *files) == 2
    out = capsys.readouterr()
    assert said in out.err and out.err.count("\n") == 1


def archive(pickled, order=b"little", kind=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", pickled)
        made.writestr("archive/byteorder", order, kind)
    return file.getvalue()


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


BAD = {
    "no zip": b"\x80\x02}.",
    "cut off": (RECORDED / "dips.ckpt").read_bytes()[:-100],
    "no pickle": archive(b"nothing"),
    "no state": archive(pickle.dumps({"epoch": 3})),
    "code": archive(pickle.dumps(Evil(), 2)),
    "a name of two lines": archive(pickle.dumps({"state_dict": {"model.a\n\33[31mb": 1}}, 2)),
    "a bomb": archive(pickle.dumps({"state_dict": {}}, 2), b"\0" * 2**20, zipfile.ZIP_DEFLATED),
    "another model": archive(pickle.dumps({"state_dict": {}}, 2)),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path, capsys):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(content)
    assert run(tmp_path, f"--checkpoint={path}", f"--config={RECORDED / 'dips.yaml'}") == 2
    out = capsys.readouterr()
    assert str(path) in out.err and out.err.count("\n") == 1 and "\33" not in out.err


def test_classes_that_the_configuration_names_are_not_passed_over(tmp_path, capsys):
    files = (
        f"--{x}={RECORDED / f'gn2.{y}'}" for x, y in (("checkpoint", "ckpt"), ("config", "yaml"))
    )
    assert run(tmp_path, *files, "--classes=jets_classification=a,b,c,d") == 2
    assert "are in the configuration: leave out --classes" in capsys.readouterr().err


def test_other_classes_are_placeholders(tmp_path):
    loaded = load(RECORDED / "gn2.ckpt")
    assert loaded["epoch"] == 3 and type(loaded["hyper_parameters"]["loss"]).__name__ == "L1Loss"
    assert loaded["hyper_parameters"]["loss"].name.startswith("torch.nn")


def test_a_full_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    words = [f"--checkpoint={RECORDED / 'gn2.ckpt'}", f"--config={RECORDED / 'gn2.yaml'}"]
    assert main(["convert-salt", *words, f"--output_dir={tmp_path / 'run'}"]) == 2
    assert [x.name for x in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_plain_data_come_back(tmp_path):
    config = config_of("maskformer")
    path = tmp_path / "again.yaml"
    path.write_text(dump(config))
    assert read_file(path, foreign=True) == config


def test_a_model_without_tasks_is_refused(tmp_path, capsys):
    config = config_of("dips")
    change(config, f"{ARGS}.tasks.init_args.modules", [])
    (tmp_path / "config.yaml").write_text(dump(config))
    words = [f"--checkpoint={RECORDED / 'dips.ckpt'}", f"--config={tmp_path / 'config.yaml'}"]
    assert main(["convert-salt", *words, f"--output_dir={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "`tasks` must name at least one task" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
