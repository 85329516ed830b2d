"""Every option and constant of the simulation, with its unit.

The constants are values of the order of the ATLAS inner detector's, chosen by hand. `simulate.py`
reads the classes below as `train.py` reads those of `maskformer_jax.config`: YAML files, then
dotted overrides.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

from maskformer_jax.errors import check, check_range
from maskformer_jax.simulation.pythia_settings import check_settings

FLAVOURS = {"bjets": 5, "cjets": 4, "ujets": 0}
HIT_COUNTS = (
    *("numberOfPixelHits", "numberOfSCTHits"),
    *("numberOfInnermostPixelLayerHits", "numberOfNextToInnermostPixelLayerHits"),
    *("numberOfInnermostPixelLayerSharedHits", "numberOfInnermostPixelLayerSplitHits"),
    *("numberOfPixelSharedHits", "numberOfPixelSplitHits", "numberOfSCTSharedHits"),
    *("numberOfPixelHoles", "numberOfSCTHoles"),
)
THESIS_INPUTS = (
    *("qOverP", "deta", "dphi", "d0", "z0SinTheta"),
    *("qOverPUncertainty", "thetaUncertainty", "phiUncertainty"),
    *("IP3D_signed_d0_significance", "IP3D_signed_z0_significance"),
    *HIT_COUNTS,
)


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        values = value if isinstance(value, list) else [value]
        check(all(v > 0 for v in values), name, "be positive", value)


@dataclass(frozen=True)
class ProcessConfig:
    """A hard process.

    Attributes:
        settings: lines for Pythia, beside energy and seed; see `pythia_settings`.
        share: of the events, in units of the sum over the processes of a sample.
    """

    settings: list[str]
    share: float = 1.0

    def __post_init__(self):
        _check_positive(self, "share")
        check_settings("settings", self.settings)


@dataclass(frozen=True)
class SampleConfig:
    """A file; no two files share an event.

    Attributes:
        fraction: jets of the file, in units of `jets`.
        flavours: as they come (`natural`), or a third each with the same pT and abs(eta)
            (`balanced`), drawn without replacement.
        processes: names among `processes`; none: all of them.
    """

    fraction: float = 1.0
    flavours: Literal["natural", "balanced"] = "natural"
    processes: list[str] | None = None

    def __post_init__(self):
        _check_positive(self, "fraction")


@dataclass(frozen=True)
class BalanceConfig:
    """Cells in which balanced flavours have equal numbers.

    Attributes:
        pt_edges: of the cells in pT [GeV]; jets outside are not used.
        eta_edges: of the cells in abs(eta).
    """

    pt_edges: list[float] = field(
        default_factory=lambda: [
            *(20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 120.0),
            *(140.0, 160.0, 200.0, 250.0, 300.0, 400.0, 600.0, 1000.0, 6500.0),
        ]
    )
    eta_edges: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])

    def __post_init__(self):
        for name, edges in vars(self).items():
            rising = len(edges) > 1 and all(b > a for a, b in itertools.pairwise(edges))
            check(rising, name, "be at least two rising numbers", edges)


@dataclass(frozen=True)
class PileUpConfig:
    """Inelastic collisions in the same bunch crossing.

    Attributes:
        mean: of their Poisson distributed number.
        pool_events: collisions that are generated once and drawn from with replacement, each
            time turned in phi and perhaps mirrored in eta.
        settings: lines for Pythia.
    """

    mean: float = 50.0
    pool_events: int = 6000
    settings: list[str] = field(default_factory=lambda: ["SoftQCD:inelastic = on"])

    def __post_init__(self):
        check_range(self, 0, 1000, "mean")
        check_range(self, 1, 1_000_000, "pool_events")
        check_settings("settings", self.settings)


@dataclass(frozen=True)
class BeamConfig:
    """The collisions.

    Attributes:
        energy: of the two protons together [GeV].
        sigma_z: spread of the collisions along the beam [mm].
        vertex_resolution: of the primary vertex in x, y, z [mm].
        pythia: lines for Pythia that go to every process and to the pile-up.
    """

    energy: float = 13000.0
    sigma_z: float = 50.0
    vertex_resolution: list[float] = field(default_factory=lambda: [0.010, 0.010, 0.030])
    pythia: list[str] = field(default_factory=list)

    def __post_init__(self):
        _check_positive(self, "energy", "sigma_z")
        check_settings("pythia", self.pythia)
        sizes = self.vertex_resolution
        check(len(sizes) == 3 and min(sizes) >= 0, "vertex_resolution", "be three", sizes)


@dataclass(frozen=True)
class JetFindingConfig:
    """Anti-kt jets of the visible stable particles but for muons and prompt electrons.

    Attributes:
        radius: of anti-kt, and of the matching of hadrons and tracks.
        min_pt: after the resolution [GeV].
        max_eta: of the jet axis.
        pt_noise: n of sigma/pT = sqrt((n/pT)^2 + s^2/pT + c^2) [GeV].
        pt_stochastic: s [sqrt(GeV)].
        pt_constant: c.
        angle_noise: a of sigma(eta) = sigma(phi) = sqrt(c^2 + (a/pT)^2) [rad GeV].
        angle_constant: c [rad].
    """

    radius: float = 0.4
    min_pt: float = 20.0
    max_eta: float = 2.5
    pt_noise: float = 3.0
    pt_stochastic: float = 0.75
    pt_constant: float = 0.03
    angle_noise: float = 0.4
    angle_constant: float = 0.004

    def __post_init__(self):
        _check_positive(self, "radius", "min_pt", "max_eta")
        check(self.radius < 1.5, "radius", "be below 1.5", self.radius)


@dataclass(frozen=True)
class MaterialConfig:
    """Cylinders in which photons convert and hadrons interact.

    Attributes:
        radii: of the beam pipe and the pixel layers [mm].
        thickness: of each, in radiation lengths at eta 0.
        interaction_lengths: nuclear interaction lengths in a radiation length of material.
        mean_secondaries: charged particles of an interaction, Poisson distributed.
        secondary_pt: mean transverse kick of those, exponentially distributed [GeV].
        strips_thickness: of all strip layers together, in which electrons lose energy too.
    """

    radii: list[float] = field(default_factory=lambda: [24.3, 33.25, 50.5, 88.5, 122.5])
    thickness: list[float] = field(default_factory=lambda: [0.006, 0.019, 0.027, 0.027, 0.027])
    interaction_lengths: float = 0.2
    mean_secondaries: float = 2.0
    secondary_pt: float = 0.3
    strips_thickness: float = 0.0

    def __post_init__(self):
        same = len(self.radii) == len(self.thickness) > 0
        check(same, "thickness", "have an entry for each radius", self.thickness)
        _check_positive(self, "radii")
        check_range(self, 0, math.inf, "thickness")


@dataclass(frozen=True)
class TrackerConfig:
    """Geometry, hits, efficiency and cuts.

    Attributes:
        magnetic_field: along the beam [T].
        pixel_radii: of the pixel layers [mm].
        strip_radii: of the double strip layers [mm].
        hit_efficiency: of a pixel layer.
        strip_efficiency: of a side of a strip layer.
        innermost_overlap: probability of a second hit in the innermost pixel layer.
        pixel_overlap: the same, in the others.
        strip_overlap: the same, in a side of a strip layer.
        efficiency: of finding a track, at its plateau.
        efficiency_pt_loss: fraction lost at the lowest pT ...
        efficiency_pt_scale: ... which falls with this scale [GeV].
        efficiency_eta_loss: fraction lost at abs(eta) = 2.5, growing with its square.
        efficiency_radius: scale of the loss beyond the innermost layer [mm].
        electron_efficiency: factor for electrons.
        close_efficiency: factor for every track closer than `close_distance`.
        close_distance: in dR.
        min_silicon_hits: of pixels and strips together.
        min_pixel_hits: of them.
        min_pt: [GeV].
        max_d0: [mm].
        max_z0: of z0 sin(theta) [mm].
        max_eta: of a track.
    """

    magnetic_field: float = 2.0
    pixel_radii: list[float] = field(default_factory=lambda: [33.25, 50.5, 88.5, 122.5])
    strip_radii: list[float] = field(default_factory=lambda: [299.0, 371.0, 443.0, 514.0])
    hit_efficiency: float = 0.985
    strip_efficiency: float = 0.9915
    innermost_overlap: float = 0.10
    pixel_overlap: float = 0.03
    strip_overlap: float = 0.0135
    efficiency: float = 0.94
    efficiency_pt_loss: float = 0.25
    efficiency_pt_scale: float = 0.4
    efficiency_eta_loss: float = 0.12
    efficiency_radius: float = 200.0
    electron_efficiency: float = 0.92
    close_efficiency: float = 0.9
    close_distance: float = 0.015
    min_silicon_hits: int = 7
    min_pixel_hits: int = 1
    min_pt: float = 0.5
    max_d0: float = 3.5
    max_z0: float = 5.0
    max_eta: float = 2.5

    def __post_init__(self):
        fractions = ("hit_efficiency", "strip_efficiency", "innermost_overlap", "pixel_overlap")
        check_range(self, 0, 1, *fractions, "strip_overlap", "efficiency")
        losses = ("efficiency_pt_loss", "efficiency_eta_loss", "electron_efficiency")
        check_range(self, 0, 1, *losses, "close_efficiency")
        _check_positive(self, "magnetic_field", "min_pt", "max_d0", "max_z0", "max_eta")
        _check_positive(self, "efficiency_pt_scale", "efficiency_radius")
        for name in ("pixel_radii", "strip_radii"):
            radii = getattr(self, name)
            rising = len(radii) > 1 and radii[0] > 0 and radii == sorted(radii)
            check(rising, name, "be at least two rising radii", radii)


@dataclass(frozen=True)
class ClusterConfig:
    """Hits that two tracks share, or that are split between them.

    The probability falls as exp(-(s - `merged`)/`distance`) with the distance s to the nearest
    track in a layer, and is constant below `merged`.

    Attributes:
        merged: [mm].
        distance: [mm].
        pixel_shared: of two merged tracks.
        pixel_split: the same.
        strip_shared: the same, in a side of a strip layer.
        innermost_noise: probability of a shared innermost hit without any neighbour.
        strip_noise: mean number of shared strip hits without any neighbour.
        fake_innermost: probability of a shared innermost hit on a fake track.
        fake_strips: mean number of shared strip hits on a fake track.
    """

    merged: float = 0.12
    distance: float = 0.2
    pixel_shared: float = 0.225
    pixel_split: float = 0.5
    strip_shared: float = 0.12
    innermost_noise: float = 0.01
    strip_noise: float = 0.02
    fake_innermost: float = 0.25
    fake_strips: float = 0.81

    def __post_init__(self):
        _check_positive(self, "merged", "distance")
        names = ("pixel_shared", "pixel_split", "strip_shared", "innermost_noise", "fake_innermost")
        check_range(self, 0, 1, *names)
        check_range(self, 0, math.inf, "strip_noise", "fake_strips")


@dataclass(frozen=True)
class ResolutionConfig:
    """Resolutions; m = 1/(pT sqrt(sin theta)), pT in GeV.

    Attributes:
        d0: a, b of a sqrt(1 + (b m)^2) [mm, GeV].
        z0: of z0 sin(theta), the same.
        phi: the same [rad, GeV].
        theta: the same, times sin^2(theta) [rad, GeV].
        q_over_p: a, b, c of a sin(theta) sqrt(1 + (b/pT)^2) (1 + c (eta/2.5)^2) [1/GeV, GeV].
        first_layer: factors by the first pixel layer with a hit; their roots for angles.
        tail_fractions: parts of the tracks whose resolution is worse ...
        tail_factors: ... by these factors.
        uncertainty_spread: relative, of the uncertainties that are reported.
    """

    d0: list[float] = field(default_factory=lambda: [0.010, 8.0])
    z0: list[float] = field(default_factory=lambda: [0.060, 2.3])
    phi: list[float] = field(default_factory=lambda: [70e-6, 30.0])
    theta: list[float] = field(default_factory=lambda: [0.7e-3, 5.0])
    q_over_p: list[float] = field(default_factory=lambda: [0.34e-3, 44.0, 0.6])
    first_layer: list[float] = field(default_factory=lambda: [1.0, 1.4, 2.2, 3.2])
    tail_fractions: list[float] = field(default_factory=lambda: [0.05, 0.005])
    tail_factors: list[float] = field(default_factory=lambda: [2.5, 6.0])
    uncertainty_spread: float = 0.05

    def __post_init__(self):
        for name in ("d0", "z0", "phi", "theta", "q_over_p", "first_layer"):
            _check_positive(self, name)
        check_range(self, 0, 1, "tail_fractions", "uncertainty_spread")
        for name, length in (("d0", 2), ("z0", 2), ("phi", 2), ("theta", 2), ("q_over_p", 3)):
            value = getattr(self, name)
            check(len(value) == length, name, f"have {length} numbers", value)
        same = len(self.tail_fractions) == len(self.tail_factors) and sum(self.tail_fractions) < 1
        check(same, "tail_factors", "match `tail_fractions`", self.tail_factors)


@dataclass(frozen=True)
class FakesConfig:
    """Tracks of unrelated hits, spread evenly over the jet.

    Their mean number before the cuts is a + b min(pT/200 GeV, 5) + c mu.

    Attributes:
        base: a.
        per_pt: b.
        per_pileup: c; mu is the number of pile-up collisions.
        pt: mean pT above the cut [GeV].
        hard_fraction: part whose mean pT is `hard_pt`.
        hard_pt: [GeV].
        d0: width of the Laplace distribution of d0 [mm].
        z0: the same, of z0 sin(theta) [mm].
    """

    base: float = 0.1
    per_pt: float = 0.1
    per_pileup: float = 0.002
    pt: float = 1.06
    hard_fraction: float = 0.125
    hard_pt: float = 18.7
    d0: float = 0.62
    z0: float = 1.2

    def __post_init__(self):
        check_range(self, 0, math.inf, "base", "per_pt", "per_pileup")
        _check_positive(self, "pt", "hard_pt", "d0", "z0")
        check_range(self, 0, 1, "hard_fraction")


@dataclass(frozen=True)
class TruthConfig:
    """Labels.

    Attributes:
        min_hadron_pt: of the hadrons that label a jet and of those listed [GeV]; c hadrons of a
            listed b hadron in the same jet are listed at any pT.
        vertex_merging: production vertices closer than this are one [mm].
    """

    min_hadron_pt: float = 5.0
    vertex_merging: float = 0.1

    def __post_init__(self):
        _check_positive(self, "min_hadron_pt", "vertex_merging")


@dataclass(frozen=True)
class OutputConfig:
    """The files.

    Attributes:
        tracks: most tracks of a jet that are kept.
        keep_by: keep those with the largest absolute value of this field, and write them in
            that order.
        hadrons: most hadrons of a jet that are kept.
        track_fields: fields of the tracks, beside the truth, among those of
            `maskformer_jax.simulation.tables.TRACK_FIELDS`.
        mantissa_bits: to which single-precision numbers are rounded, so that they compress better;
            23 leaves them as they are.
        chunk_jets: jets that are compressed together.
        compression: of gzip, 0 to 9.
        keep_shards: keep the parts from which the files are joined.
    """

    tracks: int = 50
    keep_by: str = "IP3D_signed_d0_significance"
    hadrons: int = 5
    track_fields: list[str] = field(default_factory=lambda: [*THESIS_INPUTS, "pt", "ptfrac"])
    mantissa_bits: int = 23
    chunk_jets: int = 200
    compression: int = 6
    keep_shards: bool = False

    def __post_init__(self):
        check_range(self, 1, 127, "tracks", "hadrons")
        check_range(self, 1, 1_000_000, "chunk_jets")
        check_range(self, 1, 23, "mantissa_bits")
        check_range(self, 0, 9, "compression")


def _samples() -> dict[str, SampleConfig]:
    return {
        "train": SampleConfig(1.0, "balanced"),
        "val": SampleConfig(0.2, "balanced"),
        "test": SampleConfig(0.2, "natural"),
    }


@dataclass(frozen=True)
class SimulationConfig:
    """A production of files.

    Attributes:
        output_dir: where the files go.
        jets: of a sample whose `fraction` is 1; 0: they must be given.
        workers: processes; they change nothing but the time.
        seed: the same seed gives the same bytes.
        samples: name of the file -> what it holds.
        processes: name -> hard process.
        shard_events: events of a part that is generated with a seed of its own.
        batch_events: events that are in memory together.
        beam: energy, beam spot, vertex resolution.
        pileup: other collisions of the bunch crossing.
        jet_finding: clustering and resolution.
        material: conversions and interactions.
        tracker: geometry, hits, efficiency, cuts.
        clusters: shared and split hits.
        resolution: of the track parameters.
        fakes: tracks of unrelated hits.
        truth: labels.
        balance: cells of the resampling.
        output: layout of the files.
    """

    output_dir: str = "data/simulated"
    jets: int = 0
    workers: int = 1
    seed: int = 0
    samples: dict[str, SampleConfig] = field(default_factory=_samples)
    processes: dict[str, ProcessConfig] = field(
        default_factory=lambda: {
            "ttbar": ProcessConfig(["Top:gg2ttbar = on", "Top:qqbar2ttbar = on"])
        }
    )
    shard_events: int = 2000
    batch_events: int = 100
    beam: BeamConfig = field(default_factory=BeamConfig)
    pileup: PileUpConfig = field(default_factory=PileUpConfig)
    jet_finding: JetFindingConfig = field(default_factory=JetFindingConfig)
    material: MaterialConfig = field(default_factory=MaterialConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    resolution: ResolutionConfig = field(default_factory=ResolutionConfig)
    fakes: FakesConfig = field(default_factory=FakesConfig)
    truth: TruthConfig = field(default_factory=TruthConfig)
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self):
        check(self.jets >= 0, "jets", "be at least 1", self.jets)
        check_range(self, 1, 1_000_000, "shard_events", "batch_events")
        check_range(self, 1, 10_000, "workers")
        check_range(self, 0, math.inf, "seed")
        check(len(self.samples) > 0, "samples", "name at least one file", self.samples)
        check(len(self.processes) > 0, "processes", "name at least one", self.processes)
        for name, sample in self.samples.items():
            plain = name.replace("_", "").isalnum()
            check(plain, "samples", "have names of letters, digits and _", name)
            unknown = sorted(set(sample.processes or ()) - set(self.processes))
            rule = f"be among {[*self.processes]}"
            check(not unknown, f"samples.{name}.processes", rule, unknown)
        layers, factors = self.tracker.pixel_radii, self.resolution.first_layer
        rule = f"have one of the {len(layers)} entries for each pixel layer"
        check(len(factors) == len(layers), "resolution.first_layer", rule, factors)
