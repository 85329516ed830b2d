"""Records small checkpoints of Salt with what Salt makes of some jets, for the tests beside it.

Runs where Salt is installed (`benchmarks/peers.sh`), from the root of the repository:

    .peers/bin/python -m tests.salt.record [NAME ...]

Salt 0.13.0 makes all but `maskformer_main`, which wants a checkout of Salt's main (68bd045) first
on PYTHONPATH. All parameters and buffers of the normalisation are random, since initial biases,
norms and registers hide errors. The jets have from 0 to 40 constituents.
"""

import copy
import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
import yaml

# Salt's main looks for a solver of assignments, which nothing here calls.
solvers = MagicMock()
solvers.Solvers.get_available_solvers.return_value = {"BatchedScipyOMP": None}
sys.modules |= {"py_lap_solver": MagicMock(), "py_lap_solver.solvers": solvers}

from salt.models import InputNorm  # noqa: E402

from benchmarks.salt_process import configuration, model_of  # noqa: E402

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


NETWORKS = {
    "gn2": gn2,
    "maskformer": maskformer,
    "maskformer_main": maskformer,
    "streams": streams,
    "dips": lambda: alone("dips"),
    "dl1": lambda: alone("dl1"),
}


class Whole(torch.nn.Module):
    """Model and normalisation, as in the checkpoints of Salt's Lightning module."""

    def __init__(self, config: dict, norms: Path):
        super().__init__()
        variables = config["data"]["variables"]
        for net in config["model"]["model"]["init_args"]["init_nets"]:
            net |= {"variables": variables, "global_object": "jets"}
        self.model = model_of(config)
        self.norm = InputNorm(norms, variables, "jets", None)


def randomise(module: torch.nn.Module) -> None:
    """Draws every parameter again, of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(7)
    for name, x in module.named_parameters():
        value = torch.randn(x.shape, generator=generator)
        with torch.no_grad():
            if x.ndim == 2 and "registers" not in name and "inital_q" not in name:
                # Without norms in between, errors of single precision would grow in a decoder.
                size = 0.7 if "mask_decoder" in name else 1.2
                x.copy_(value * size / x.shape[1] ** 0.5)
            else:
                x.copy_(0.3 * value + (1.0 if "norm" in name and "weight" in name else 0.0))


def jets(config: dict) -> dict[str, np.ndarray]:
    """Inputs in the units of the file: a column for each field."""
    generator = np.random.default_rng(3)
    found = {}
    for place, fields in config["data"]["variables"].items():
        if place == "global":
            continue
        shape = (len(COUNTS), *(() if place == "jets" else (WIDTH,)), len(fields))
        found[place] = generator.normal(2.0, 3.0, shape).astype(np.float32)
        if place != "jets":
            counts = np.array(COUNTS if place == "tracks" else COUNTS[::-1])
            found[f"{place}_valid"] = np.arange(WIDTH) < counts[:, None]
    return found


def outputs(whole: Whole, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What Salt says, by task; NaN where there is nothing."""
    tensors = {name: torch.tensor(x) for name, x in inputs.items() if not name.endswith("valid")}
    if "global" in whole.norm.variables:
        tensors["global"] = tensors["jets"].clone()
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
    if "objects" in predictions:
        found["class_logits"] = predictions["objects"]["class_logits"].numpy()
        found["masks"] = predictions["objects"]["masks"].numpy()
    return found


def record(name: str) -> None:
    """Writes NAME.ckpt, NAME.yaml and NAME.npz."""
    config = NETWORKS[name]()
    text = yaml.safe_dump(config, sort_keys=False)
    generator = np.random.default_rng(5)
    statistics = {
        place: {
            x: {"mean": float(generator.normal(2)), "std": float(generator.uniform(1, 3))}
            for x in fields
        }
        for place, fields in config["data"]["variables"].items()
    }
    statistics["jets"] = statistics.get("global", statistics["jets"])
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(statistics, file)
        file.flush()
        whole = Whole(config, Path(file.name)).eval()
    randomise(whole)
    inputs = jets(config)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.yaml").write_text(text)
    state = {
        "epoch": 3,
        "state_dict": whole.state_dict(),
        "hyper_parameters": {"loss": torch.nn.L1Loss()},
    }
    torch.save(state, FOLDER / f"{name}.ckpt")
    found = {f"output/{task}": value for task, value in outputs(whole, inputs).items()}
    np.savez_compressed(FOLDER / f"{name}.npz", **inputs, **found)
    print(name, {task: (x.shape, float(np.nanmax(np.abs(x)))) for task, x in found.items()})


if __name__ == "__main__":
    for chosen in sys.argv[1:] or [x for x in NETWORKS if x != "maskformer_main"]:
        record(chosen)
