"""Salt's own export of a network to ONNX, of the same parameters as the checkpoint beside it.

Runs where Salt is installed (`benchmarks/peers.sh`), as the half `salt_onnx` of a comparison.
"""

from pathlib import Path
from typing import Any

import torch
import yaml
from salt.models.transformer import change_attn_backends
from salt.onnx.to_onnx import ONNXModel, get_default_onnx_feature_map

from benchmarks.salt_process import configuration, tasks_of, wrapped
from benchmarks.serving import serve

OPSET = 20


def onnx_model(config: dict[str, Any], statistics: dict[str, Any]) -> ONNXModel:
    """The same as Salt exports it, with what Athena reads of jets and tracks."""
    variables = config["data"]["variables"]
    exported = ("jets_classification", "track_origin", "track_vertexing")
    whole = wrapped(
        config,
        statistics,
        ONNXModel,
        onnx_feature_map=get_default_onnx_feature_map("r22default", [*variables], "jets"),
        variable_map=variables,
        name="Salt",
        tasks_to_output=[x["name"] for x in tasks_of(config) if x["name"] in exported],
    )
    change_attn_backends(whole.model, "torch-math")
    return whole


def export(model: ONNXModel, path: Path) -> None:
    """Writes the ONNX file with the options of Salt's `to_onnx`."""
    model.to_onnx(
        path,
        opset_version=OPSET,
        input_names=model.input_names,
        output_names=model.output_names,
        dynamic_axes=model.dynamic_axes,
        dynamo=False,
    )


class Export:
    """The process of `peer_process.peer`."""

    def export(self, settings: dict[str, Any], folder: str) -> None:
        """Writes `salt.yaml`, `salt.ckpt` and `salt.onnx` of a network as it begins.

        Args:
            settings: as for `configuration`, with `num_inputs` of Salt.
            folder: of the files.
        """
        config = configuration(settings)
        config["data"]["num_inputs"] = settings["num_inputs"]
        (Path(folder) / "salt.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        unit = {"mean": 0.0, "std": 1.0}
        statistics = {
            place: dict.fromkeys(fields, unit)
            for place, fields in config["data"]["variables"].items()
        }
        model = onnx_model(config, statistics)
        torch.save({"state_dict": model.state_dict()}, Path(folder) / "salt.ckpt")
        export(model, Path(folder) / "salt.onnx")


if __name__ == "__main__":
    serve(Export())
