"""Records small checkpoints of Salt with what Salt makes of some jets, for the tests beside it.

Runs where Salt is installed (`benchmarks/peers.sh`), from the root of the repository:

    .peers/bin/python -m tests.salt.record [NAME ...]
    .peers/bin/python -m tests.salt.record --variants FOLDER

Salt 0.13.0 makes all but `maskformer_main`, which wants a checkout of Salt's main (68bd045) first
on PYTHONPATH, and `gn2_011`, which wants Salt 0.11.0 there. Salt 0.12.0 makes the same files as
0.13.0, and Salt 0.8 to 0.11.0 the same `gn2`, `dips` and `gn2_011`, to the last bit. All parameters
and buffers of the normalisation are random, since initial biases, norms and registers hide errors.
The jets have from 0 to 40 constituents, and are given to Salt's model, and one by one to the ONNX
file that Salt makes of it.
"""

import copy
import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import onnxruntime
import salt.models.transformer
import torch
import yaml

# Salt's main looks for a solver of assignments, which nothing here calls.
solvers = MagicMock()
solvers.Solvers.get_available_solvers.return_value = {"BatchedScipyOMP": None}
sys.modules |= {"py_lap_solver": MagicMock(), "py_lap_solver.solvers": solvers}
# Salt 0.11 has elsewhere what is called for other networks alone.
vars(salt.models.transformer).setdefault("change_attn_backends", None)

from benchmarks.salt_onnx import export, onnx_model  # noqa: E402
from benchmarks.salt_process import configuration, wrapped  # noqa: E402
from tests.salt.variants import VARIANTS  # noqa: E402

FOLDER = Path(__file__).with_name("recorded")
COUNTS = [0, 1, 2, 3, 7, 15, 40]
WIDTH = 40
FIELDS = {
    "jets": ["pt_btagJes", "eta_btagJes"],
    "tracks": ["d0", "z0SinTheta", "dphi", "deta", "qOverP"],
    "flow": ["flow_pt", "flow_deta", "flow_dphi"],
}
CLASSES = ["bjets", "cjets", "ujets", "taujets"]
# Widths of the encoder, behind it, and of the hidden layers of heads.
DIM, AFTER, HIDDEN = 16, 12, [10, 8]


def gn2() -> dict:
    """Four classes, origins and vertices."""
    return configured("GN2")


def maskformer() -> dict:
    """Objects with masks and properties."""
    return configured("MaskFormer")


def configured(network: str) -> dict:
    """A network of the comparison, narrow."""
    settings = {"network": network, "embed_dim": DIM, "jet_classes": CLASSES}
    config = configuration(settings | {x: FIELDS[x] for x in ("jets", "tracks")})
    args = config["model"]["model"]["init_args"]
    args["encoder"]["init_args"] |= {"num_layers": 2, "attn_kwargs": {"num_heads": 4}}
    for name in ("train_file", "val_file", "norm_dict", "class_dict"):
        config["data"].pop(name, None)
    after = DIM
    if network == "GN2":
        after = args["encoder"]["init_args"]["out_dim"] = AFTER
        args["pool_net"]["init_args"]["input_size"] = AFTER
    for task in args["tasks"]["init_args"]["modules"]:
        head = dict(task["init_args"]["dense_config"])
        edges = task["class_path"].endswith("VertexingTask")
        head |= {"input_size": after * (2 if edges else 1), "hidden_layers": HIDDEN}
        head |= {"context_size": after} if "context_size" in head else {}
        task["init_args"]["dense_config"] = head
    return config


def streams() -> dict:
    """Two streams with gates, two registers that are dropped, norms behind, jets joined twice."""
    config = gn2()
    args = config["model"]["model"]["init_args"]
    net = args["init_nets"][0]
    config["data"]["variables"] |= {"flow": FIELDS["flow"], "global": FIELDS["jets"]}
    args["init_nets"] = [{**copy.deepcopy(net), "input_name": name} for name in ("tracks", "flow")]
    width = args["encoder"]["init_args"]["out_dim"]
    args["encoder"]["init_args"] |= {
        **{"num_registers": 2, "drop_registers": True, "norm": "RMSNorm", "norm_type": "post"},
        "dense_kwargs": {"activation": "SiLU", "gated": True, "hidden_dim": 24},
    }
    modules = args["tasks"]["init_args"]["modules"]
    for task in modules:
        head = task["init_args"]["dense_config"]
        if "context_size" in head:
            head["context_size"] = width + 2
        else:
            head["input_size"] = width + 2
        head["dropout"] = 0.1
    origin = copy.deepcopy(modules[1])
    names = {"label": "flow_kind", "class_names": ["A", "B", "C"]}
    origin["init_args"] |= {"name": "flow_origin", "input_name": "flow", **names}
    origin["init_args"]["dense_config"]["output_size"] = 3
    modules.append(origin)
    return config


def alone(network: str) -> dict:
    """No encoder: DIPS with tracks, DL1 with jets alone."""
    config = gn2()
    args = config["model"]["model"]["init_args"]
    args.pop("encoder")
    task = args["tasks"]["init_args"]["modules"][0]
    args["tasks"]["init_args"]["modules"] = [task]
    activation = {"dips": "SiLU", "dl1": "Mish"}[network]
    task["init_args"]["dense_config"] |= {"input_size": DIM, "activation": activation}
    task["init_args"] |= {
        "label": "HadronConeExclTruthLabelID",
        "label_map": {5: 0, 4: 1, 0: 2, 15: 3},
    }
    args["init_nets"][0]["dense_config"]["activation"] = activation
    if network == "dl1":
        args.pop("pool_net")
        args["init_nets"][0] |= {"input_name": "jets", "attach_global": False}
        config["data"]["variables"] = {"jets": FIELDS["jets"]}
    else:
        args["pool_net"]["init_args"]["input_size"] = DIM
    return config


def encoder_of_011() -> dict:
    """The encoder that Salt had to 0.11, without registers and with learnt norms."""
    config = gn2()
    heads = {"num_heads": 4, "attention": {"class_path": "salt.models.ScaledDotProductAttention"}}
    config["model"]["model"]["init_args"]["encoder"] = {
        "class_path": "salt.models.TransformerEncoder",
        "init_args": {
            **{"embed_dim": DIM, "num_layers": 2, "out_dim": AFTER, "mha_config": heads},
            "dense_config": {"activation": "SiLU", "dropout": 0.1},
        },
    }
    return config


def hybrid() -> dict:
    """Norms in the heads of the attention; fields of their own at the pooled jet; regressions."""
    config = gn2()
    args = config["model"]["model"]["init_args"]
    config["data"]["variables"]["global"] = ["pt_btagJes", "softMuon_pt"]
    args["encoder"]["init_args"] |= {"num_layers": 3, "norm": "RMSNorm", "norm_type": "hybrid"}
    modules = args["tasks"]["init_args"]["modules"]
    for task in modules:
        head = task["init_args"]["dense_config"]
        head["context_size" if "context_size" in head else "input_size"] += 2
    jet = dict(modules[0]["init_args"]["dense_config"])
    for kind, loss, targets in (
        ("RegressionTask", "torch.nn.MSELoss", ["mass", "energy"]),
        ("GaussianRegressionTask", "torch.nn.GaussianNLLLoss", ["Lxy"]),
    ):
        outputs = len(targets) * (2 if kind.startswith("Gaussian") else 1)
        norm = {"mean": [3.0, 2.0][: len(targets)], "std": [0.5, 4.0][: len(targets)]}
        init = {"name": kind, "input_name": "jets", "targets": targets, "norm_params": norm}
        init |= {"loss": {"class_path": loss}, "dense_config": jet | {"output_size": outputs}}
        modules.append({"class_path": f"salt.models.{kind}", "init_args": init})
    return config


NETWORKS = {
    "gn2": gn2,
    "maskformer": maskformer,
    "maskformer_main": maskformer,
    "streams": streams,
    "dips": lambda: alone("dips"),
    "dl1": lambda: alone("dl1"),
    "hybrid": hybrid,
    "gn2_011": encoder_of_011,
}
# Those that another version makes than 0.13.0, or that Salt can't export.
OTHERS, NO_FILE = ("maskformer_main", "gn2_011"), ("hybrid", "gn2_011")


def variant(options: dict) -> dict:
    """GN2 with other options of its encoder."""
    config = gn2()
    config["model"]["model"]["init_args"]["encoder"]["init_args"] |= copy.deepcopy(options)
    return config


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Draws every parameter again, of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(7 + seed)
    for name, x in module.named_parameters():
        value = torch.randn(x.shape, generator=generator)
        with torch.no_grad():
            if x.ndim == 2 and "registers" not in name and "inital_q" not in name:
                # Without norms in between, errors of single precision would grow in a decoder.
                size = 0.7 if "mask_decoder" in name else 1.2
                x.copy_(value * size / x.shape[1] ** 0.5)
            else:
                x.copy_(0.3 * value + (1.0 if "norm" in name and "weight" in name else 0.0))


def jets(config: dict, seed: int) -> dict[str, np.ndarray]:
    """Inputs in the units of the file: a column for each field."""
    generator = np.random.default_rng(3 + seed)
    found = {}
    variables = dict(config["data"]["variables"])
    variables["jets"] = [*dict.fromkeys([*variables["jets"], *variables.pop("global", [])])]
    for place, fields in variables.items():
        shape = (len(COUNTS), *(() if place == "jets" else (WIDTH,)), len(fields))
        found[place] = generator.normal(2.0, 3.0, shape).astype(np.float32)
        if place != "jets":
            counts = np.array(COUNTS if place == "tracks" else COUNTS[::-1])
            found[f"{place}_valid"] = np.arange(WIDTH) < counts[:, None]
    return found


def outputs(whole: torch.nn.Module, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What Salt says, by task; NaN where there is nothing."""
    tensors = {name: torch.tensor(x) for name, x in inputs.items() if not name.endswith("valid")}
    variables = whole.norm.variables
    union = [*dict.fromkeys([*variables["jets"], *variables.get("global", [])])]
    of_jets = tensors.pop("jets")
    for place in ("jets", "global") if "global" in variables else ("jets",):
        tensors[place] = of_jets[:, [union.index(field) for field in variables[place]]]
    valid = {name: inputs[f"{name}_valid"] for name in tensors if f"{name}_valid" in inputs}
    masks = {name: torch.tensor(~x) for name, x in valid.items()} or None
    with torch.no_grad():
        predictions, _ = whole.model(whole.norm(tensors), masks)
    found = {}
    for task in whole.model.tasks:
        value = predictions[task.input_name][task.name].numpy()
        if type(task).__name__ == "VertexingTask":
            real = valid[task.input_name]
            pairs = real[:, :, None] & real[:, None] & ~np.eye(WIDTH, dtype=bool)
            value, edges = np.full(pairs.shape, np.nan, np.float32), value[:, 0]
            value[pairs] = edges
        found[task.name] = value
        if type(task).__name__ == "GaussianRegressionTask":
            found[f"{task.name}_stddev"] = task.run_inference(torch.tensor(value))[1].numpy()
    if "objects" in predictions:
        found["class_logits"] = predictions["objects"]["class_logits"].numpy()
        found["masks"] = predictions["objects"]["masks"].numpy()
    return found


def of_file(whole: torch.nn.Module, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What Salt's ONNX file says of one jet after another; -128 where there is no track."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        export(whole, file.name)
        run = onnxruntime.InferenceSession(file.name)
    names = [x.name for x in run.get_outputs()]
    found = {
        x.name: np.full((len(COUNTS), WIDTH), -128, np.int8)
        if "int8" in x.type
        else np.zeros(len(COUNTS), np.float32)
        for x in run.get_outputs()
    }
    for jet in range(len(COUNTS)):
        real = {of: inputs[f"{of}_valid"][jet] for of in whole.salt_names if of != "jets"}
        given = {
            to: inputs[of][jet][real[of]] if of in real else inputs[of][[jet]]
            for to, of in zip(whole.input_names, whole.salt_names, strict=True)
        }
        for name, value in zip(names, run.run(None, given), strict=True):
            if value.ndim:
                found[name][jet, : len(value)] = value
            else:
                found[name][jet] = value
    return found


def record(name: str, config: dict, folder: Path = FOLDER, seed: int = 0) -> None:
    """Writes NAME.ckpt, NAME.yaml and NAME.npz."""
    text = yaml.safe_dump(config, sort_keys=False)
    generator = np.random.default_rng(5)
    statistics = {
        place: {
            x: {"mean": float(generator.normal(2)), "std": float(generator.uniform(1, 3))}
            for x in fields
        }
        for place, fields in config["data"]["variables"].items()
    }
    statistics["jets"] |= statistics.get("global", {})
    whole = (wrapped if name in NO_FILE else onnx_model)(config, statistics)
    randomise(whole, seed)
    inputs = jets(config, seed)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    state = {
        "epoch": 3,
        "state_dict": whole.state_dict(),
        "hyper_parameters": {"loss": torch.nn.L1Loss()},
    }
    torch.save(state, folder / f"{name}.ckpt")
    found = {f"output/{task}": value for task, value in outputs(whole, inputs).items()}
    if name not in NO_FILE:
        found |= {f"onnx/{output}": value for output, value in of_file(whole, inputs).items()}
    np.savez_compressed(folder / f"{name}.npz", **inputs, **found)
    print(name, {task: (x.shape, float(np.nanmax(np.abs(x)))) for task, x in found.items()})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--variants"]:
        for number, (chosen, options) in enumerate(VARIANTS.items()):
            record(chosen, variant(options), Path(sys.argv[2]), number)
    else:
        for chosen in sys.argv[1:] or [x for x in NETWORKS if x not in OTHERS]:
            record(chosen, NETWORKS[chosen]())
