"""What ATLAS' FlavorTagInference reads of an ONNX file beside the network: names and metadata.

Source: SaltModel.cxx, ConstituentsLoader.cxx, CustomGetterUtils.cxx and DataPrepUtilities.cxx of
PhysicsAnalysis/JetTagging/FlavorTagInference in Athena.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from maskformer_jax.data.schema import Schema
from maskformer_jax.errors import InputError, check, known
from maskformer_jax.export.function import Input
from maskformer_jax.types import JETS

SELECTIONS = (
    *("all", "ip3d", "dipsLoose202102", "loose202102NoIpCuts", "r22default", "r22loose"),
    *("dipsTightUpgrade", "dipsLooseUpgrade"),
)
# The suffix of the fields of jets in the files that training reads.
CALIBRATION = "_btagJes"
# Fields that Athena has of jets and of each kind of constituents.
_OF_JETS = r"(log_)?pt|abs_eta|eta|energy|mass|phi"
_OF = {
    "tracks": r"numberOf.*|numberDoF|chiSquared|qOverP|theta|phi|(.*_)?[dz]0.*"
    r"|(log_)?(ptfrac|dr|pt).*|deta|dphi|(phi|theta|qOverP)Uncertainty|leptonID|muon_quality"
    r"|muon_(qOverPratio|momentumBalanceSignificance|scatteringNeighbourSignificance)"
    r"|lifetimeSigned.*",
    "flows": r"(flow_)?(pt|deta|dphi|dr|energy|isCharged)",
    "electrons": r"deltaEta1|deltaPhiRescaled2|Rhad1?|Eratio|weta2|Rphi|Reta|wtots1|f1|f3|pt"
    r"|eta|phi|ftag_.*|ptfrac|ptrel|dr|et|deltaPOverP|ptVarCone30OverPt|energyOverP"
    r"|numberOf.*|d0.*|abs_eta|qOverP|eProbabilityHT",
    "hits": "[jab]",
}


def name_of(model: str, given: str | None) -> str:
    """The name of the model in its outputs: what is given, or its own without signs.

    Raises:
        InputError: it has a sign that parts names.
    """
    name = re.sub(r"[^A-Za-z0-9]", "", model) if given is None else given
    rule = "be letters and digits, since Athena takes what is before the first `_` for it"
    check(re.fullmatch(r"[A-Za-z0-9]+", name) is not None, "--name", rule, name)
    return name


def sequence_of(given: Input, selection: str) -> str:
    """The name by which Athena chooses and sorts the constituents of an input.

    Args:
        given: an input of constituents.
        selection: one of `SELECTIONS`, of tracks and flows.
    """
    kind = f"{given.name.removesuffix('_features')}s"
    if kind in ("tracks", "flows"):
        return f"{kind}_{selection}_sd0sort"
    return f"{kind}_r22default" if kind == "electrons" else f"{kind}_var"


def metadata(inputs: Sequence[Input], outputs: Sequence[str], name: str, selection: str) -> dict:
    """The content of `gnn_config`.

    Args:
        inputs: of the graph.
        outputs: their names.
        name: of the model.
        selection: of tracks.

    Raises:
        InputError: there is no such selection.
    """
    known(selection, SELECTIONS, "track selection (--track_selection)")

    def variables(given: Input) -> list[dict[str, Any]]:
        suffix = CALIBRATION if given.place == JETS else ""
        names = [field.removesuffix(suffix) for field in given.fields]
        return [{"name": field, "offset": 0.0, "scale": 1.0} for field in names]

    jets = [{"name": "jet_var", "variables": variables(x)} for x in inputs if x.place == JETS]
    sequences = [
        {"name": sequence_of(x, selection), "variables": variables(x)}
        for x in inputs
        if x.place != JETS and x.fields
    ]
    return {
        "onnx_model_version": "v1",
        "model_name": name,
        "output_names": list(outputs),
        "inputs": jets,
        "input_sequences": sequences,
    }


def warnings(inputs: Sequence[Input], schema: Schema) -> Iterator[str]:
    """What Athena could not give to the network, a sentence each.

    Args:
        inputs: of the graph.
        schema: of the files of the model.
    """
    if not schema.streams:
        yield "Athena reads networks of jets with tracks only; this one has no constituents"
    elif "track_features" not in [x.name for x in inputs]:
        yield "Athena reads networks with tracks only; none of the streams is of tracks"
    for given in inputs:
        kind = f"{given.name.removesuffix('_features')}s"
        fields = [field.removesuffix(CALIBRATION) for field in given.fields]
        if given.place != JETS and kind not in _OF:
            yield f"Athena has no constituents called {given.place}; it has {', '.join(_OF)}"
            continue
        pattern = _OF_JETS if given.place == JETS else _OF[kind]
        lacks = [field for field in fields if not re.fullmatch(pattern, field)]
        if lacks:
            yield f"Athena has no field {', '.join(f'`{x}`' for x in lacks)} of {given.place}"


def renamed(names: Sequence[str], changes: Sequence[str]) -> dict[str, str]:
    """Names of outputs -> new ones, after `old=new`, each without the name of the model.

    Raises:
        InputError: a change is no pair, its output is not there, or two have one name.
    """
    found = {name: name for name in names}
    for change in changes:
        old, sign, new = change.partition("=")
        check(bool(sign and old and new), "--rename", "be old=new", change)
        known(old, names, "output (--rename)")
        plain = re.fullmatch(r"\w+", new, re.ASCII) is not None
        check(plain, "--rename", "have letters, digits and `_` as the new name", change)
        found[old] = new
    twice = [name for name in found.values() if [*found.values()].count(name) > 1]
    if twice:
        raise InputError(f"two outputs are called `{twice[0]}`; --rename one of them")
    return found
