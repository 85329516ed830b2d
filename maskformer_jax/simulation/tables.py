"""Jets, tracks and hadrons of a part of a file, as the structured rows that are written."""

from typing import NamedTuple

import numpy as np

from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import FLAVOURS, HIT_COUNTS, OutputConfig
from maskformer_jax.simulation.detector import Tracks
from maskformer_jax.simulation.events import MEV, Particles, transverse, wrapped
from maskformer_jax.simulation.helix import lifetime_signed
from maskformer_jax.simulation.jets import Jets
from maskformer_jax.simulation.truth import Hadrons, TrackTruth

# Half precision for what is not measured better; it would lose 6 % of a q/p uncertainty in 1/MeV
# and overflow for a pT in MeV.
SINGLE, HALF, COUNT = "f4", "f2", "i1"
TRACK_FIELDS = {
    **dict.fromkeys(("pt", "qOverP"), SINGLE),
    **dict.fromkeys(("eta", "phi", "theta", "dr", "ptfrac", "deta", "dphi"), HALF),
    **dict.fromkeys(("d0", "z0SinTheta", "d0Uncertainty", "z0SinThetaUncertainty"), HALF),
    **dict.fromkeys(("phiUncertainty", "thetaUncertainty", "qOverPUncertainty"), SINGLE),
    **dict.fromkeys(("IP3D_signed_d0_significance", "IP3D_signed_z0_significance"), HALF),
    **dict.fromkeys(HIT_COUNTS, COUNT),
}
TRACK_TRUTH = {
    "ftagTruthOriginLabel": COUNT,
    "ftagTruthVertexIndex": COUNT,
    "ftagTruthParentBarcode": "i4",
    "valid": "?",
}
JET_FIELDS = {
    "pt_btagJes": SINGLE,
    "eta_btagJes": SINGLE,
    "phi_btagJes": SINGLE,
    "mass": SINGLE,
    "energy": SINGLE,
    "HadronConeExclTruthLabelPt": SINGLE,
    "HadronConeExclTruthLabelLxy": SINGLE,
    "flavour_label": COUNT,
    "HadronConeExclTruthLabelID": COUNT,
    "n_tracks": COUNT,
    "n_truth_hadrons": COUNT,
    "eventNumber": "i4",
}
HADRON_FIELDS = {
    "pt": SINGLE,
    "mass": SINGLE,
    "deta": SINGLE,
    "dphi": SINGLE,
    "Lxy": SINGLE,
    "vx": SINGLE,
    "vy": SINGLE,
    "vz": SINGLE,
    "flavour": COUNT,
    "n_tracks": COUNT,
    "pdgId": "i4",
    "barcode": "i4",
    "valid": "?",
}
FLAVOUR_INDEX = {code: index for index, code in enumerate(FLAVOURS.values())}


class Tables(NamedTuple):
    """Rows of a part of a file, without padding.

    Attributes:
        jets: structured `[n]`.
        tracks: structured `[sum of jets["n_tracks"]]`, jets one after the other.
        hadrons: structured `[sum of jets["n_truth_hadrons"]]`, the same.
    """

    jets: np.ndarray
    tracks: np.ndarray
    hadrons: np.ndarray


def check_fields(config: OutputConfig) -> None:
    """Raises InputError if a field is asked for that there is not."""
    unknown = [name for name in config.track_fields if name not in TRACK_FIELDS]
    if unknown:
        rule = f"name fields among {', '.join(TRACK_FIELDS)}"
        raise InputError(f"`output.track_fields` must {rule}; got {unknown}")
    if config.keep_by not in TRACK_FIELDS:
        raise InputError(
            f"`output.keep_by` must be one of {', '.join(TRACK_FIELDS)}; got {config.keep_by!r}"
        )


def track_values(tracks: Tracks, jets: Jets) -> dict[str, np.ndarray]:
    """Every field of `TRACK_FIELDS` `[k]`, in MeV, mm and rad."""
    found, jet = tracks.perigee, tracks.jet
    sin = 1 / np.cosh(found.eta)
    deta, dphi = found.eta - jets.eta[jet], wrapped(found.phi - jets.phi[jet])
    z0 = found.z0 * sin
    signed_d0, signed_z0 = lifetime_signed(found.d0, z0, dphi, deta)
    return {
        "pt": MEV / np.abs(found.q_over_pt),
        "eta": found.eta,
        "phi": found.phi,
        "theta": np.arccos(np.tanh(found.eta)),
        "dr": np.hypot(deta, dphi),
        "ptfrac": 1 / np.abs(found.q_over_pt) / jets.pt[jet],
        "qOverP": found.q_over_pt * sin / MEV,
        "deta": deta,
        "dphi": dphi,
        "d0": found.d0,
        "z0SinTheta": z0,
        "d0Uncertainty": tracks.sigma[:, 0],
        "z0SinThetaUncertainty": tracks.sigma[:, 1],
        "phiUncertainty": tracks.sigma[:, 2],
        "thetaUncertainty": tracks.sigma[:, 3],
        "qOverPUncertainty": tracks.sigma[:, 4] / MEV,
        "IP3D_signed_d0_significance": signed_d0 / tracks.sigma[:, 0],
        "IP3D_signed_z0_significance": signed_z0 / tracks.sigma[:, 1],
    } | _hit_values(tracks)


def _hit_values(tracks: Tracks) -> dict[str, np.ndarray]:
    pixels, shared = tracks.hits.pixels, tracks.shared.pixel_shared
    split = tracks.shared.pixel_split
    return {
        "numberOfPixelHits": pixels.sum(axis=1),
        "numberOfSCTHits": tracks.hits.strips,
        "numberOfInnermostPixelLayerHits": pixels[:, 0],
        "numberOfNextToInnermostPixelLayerHits": pixels[:, 1],
        "numberOfInnermostPixelLayerSharedHits": shared[:, 0],
        "numberOfInnermostPixelLayerSplitHits": split[:, 0],
        "numberOfPixelSharedHits": shared.sum(axis=1),
        "numberOfPixelSplitHits": split.sum(axis=1),
        "numberOfSCTSharedHits": tracks.shared.strips,
        "numberOfPixelHoles": tracks.hits.pixel_holes,
        "numberOfSCTHoles": tracks.hits.strip_holes,
    }


def build(
    jets: Jets, label: np.ndarray, tracks: Tracks, truth: TrackTruth, hadrons: Hadrons,
    particles: Particles, config: OutputConfig,
) -> Tables:  # fmt: skip
    """The rows of the jets that have tracks and are not of a tau.

    Args:
        jets: of several events.
        label: `[j]` flavour of each, 5, 4, 0 or 15.
        tracks: of those jets.
        truth: labels of the tracks.
        hadrons: of those jets.
        particles: of the events.
        config: fields and caps.
    """
    values = track_values(tracks, jets)
    kept = _ranked(tracks.jet, np.abs(values[config.keep_by]), config.tracks)
    num_tracks = np.bincount(tracks.jet[kept], minlength=len(jets.pt))
    used = (num_tracks > 0) & np.isin(label, [*FLAVOUR_INDEX])
    kept = kept[used[tracks.jet[kept]]]
    types = {name: TRACK_FIELDS[name] for name in config.track_fields} | TRACK_TRUTH
    truths = {
        "ftagTruthOriginLabel": truth.origin,
        "ftagTruthVertexIndex": truth.vertex_index,
        "ftagTruthParentBarcode": truth.barcode,
        "valid": np.ones(len(tracks.jet), bool),
    }
    track_rows = _structured(values | truths, types, kept)

    listed = _first_of_each(hadrons.jet, config.hadrons)
    hadron_values = _hadron_values(hadrons, jets, particles)
    link = np.stack([tracks.jet[kept], truth.barcode[kept]], axis=1)
    hadron_values["n_tracks"] = _matches(link, hadrons.jet, hadron_values["barcode"])
    num_hadrons = np.bincount(hadrons.jet[listed], minlength=len(jets.pt))
    jet_values = _jet_values(jets, label, hadrons, hadron_values)
    jet_values |= {"n_tracks": num_tracks, "n_truth_hadrons": num_hadrons}
    return Tables(
        _structured(jet_values, JET_FIELDS, np.flatnonzero(used)),
        track_rows,
        _structured(hadron_values, HADRON_FIELDS, listed[used[hadrons.jet[listed]]]),
    )


def _structured(values: dict, types: dict[str, str], rows: np.ndarray) -> np.ndarray:
    table = np.empty(len(rows), [*types.items()])
    for name in types:
        table[name] = values[name][rows]
    return table


def _ranked(jet: np.ndarray, size: np.ndarray, most: int) -> np.ndarray:
    """Rows ordered by jet and falling size, at most so many of each jet."""
    order = np.lexsort((-size, jet))
    return order[_first_of_each(jet[order], most)]


def _first_of_each(jet: np.ndarray, most: int) -> np.ndarray:
    """Rows of the first entries of each jet, where `jet` rises."""
    position = np.arange(len(jet)) - np.searchsorted(jet, jet)
    return np.flatnonzero(position < most)


def _matches(link: np.ndarray, jet: np.ndarray, barcode: np.ndarray) -> np.ndarray:
    """`[h]` how many rows of `link [k, 2]` are (jet, barcode) of each hadron."""
    scale = 1 + max(link[:, 1].max(initial=0), barcode.max(initial=0))
    found = np.sort(np.where(link[:, 1] >= 0, link[:, 0] * scale + link[:, 1], -1))
    wanted = jet * scale + barcode
    return np.searchsorted(found, wanted, "right") - np.searchsorted(found, wanted, "left")


def _hadron_values(hadrons: Hadrons, jets: Jets, particles: Particles) -> dict[str, np.ndarray]:
    rows = hadrons.particle
    pt, eta, phi = transverse(particles.momentum[rows])
    return {
        "pt": MEV * pt,
        "mass": MEV * particles.mass[rows],
        "deta": eta - jets.eta[hadrons.jet],
        "dphi": wrapped(phi - jets.phi[hadrons.jet]),
        "Lxy": np.hypot(hadrons.decay[:, 0], hadrons.decay[:, 1]),
        "vx": hadrons.decay[:, 0],
        "vy": hadrons.decay[:, 1],
        "vz": hadrons.decay[:, 2],
        "flavour": hadrons.flavour,
        "pdgId": particles.pdg_id[rows],
        "barcode": particles.index[rows],
        "valid": np.ones(len(rows), bool),
    }


def _jet_values(
    jets: Jets, label: np.ndarray, hadrons: Hadrons, values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Momenta and labels; the hadron of the label is the first of its jet."""
    first = _first_of_each(hadrons.jet, 1)
    named = {name: np.full(len(jets.pt), np.nan) for name in ("pt", "Lxy")}
    for name, column in named.items():
        column[hadrons.jet[first]] = values[name][first]
        column[label == 0] = np.nan
    flavour = np.full(len(label), -1)
    for code, index in FLAVOUR_INDEX.items():
        flavour[label == code] = index
    momentum = jets.pt * np.cosh(jets.eta)
    return {
        "pt_btagJes": MEV * jets.pt,
        "eta_btagJes": jets.eta,
        "phi_btagJes": jets.phi,
        "mass": MEV * jets.mass,
        "energy": MEV * np.hypot(momentum, jets.mass),
        "HadronConeExclTruthLabelPt": named["pt"],
        "HadronConeExclTruthLabelLxy": named["Lxy"],
        "flavour_label": flavour,
        "HadronConeExclTruthLabelID": label,
        "eventNumber": jets.event,
    }
