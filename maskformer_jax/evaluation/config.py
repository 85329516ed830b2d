"""What an evaluation computes."""

import itertools
import math
from dataclasses import dataclass, field

from maskformer_jax.errors import check, check_range


@dataclass(frozen=True)
class FieldsConfig:
    """Fields of the test file that the evaluation reads beside the inputs and targets.

    What needs a field that the file does not have is left out of the evaluation.

    Attributes:
        jet_pt: transverse momentum of the jet [MeV].
        jet_eta: its pseudorapidity.
        jet_phi: its azimuthal angle [rad].
        track_q_over_p: charge over momentum [1/MeV].
        track_d0: transverse impact parameter, positive where the track has the primary vertex on
            its right [mm].
        track_deta: pseudorapidity with respect to the jet.
        track_dphi: azimuthal angle with respect to the jet [rad].
        hadron_pt: transverse momentum of the hadron [MeV].
        hadron_length: transverse flight length Lxy [mm].
        hadron_deta: pseudorapidity with respect to the jet.
        hadron_dphi: azimuthal angle with respect to the jet [rad].
        hadron_mass: mass [MeV].
        hadron_x: decay position with respect to the primary vertex [mm].
        hadron_y: likewise.
    """

    jet_pt: str = "pt_btagJes"
    jet_eta: str = "eta_btagJes"
    jet_phi: str = "phi_btagJes"
    track_q_over_p: str = "qOverP"
    track_d0: str = "d0"
    track_deta: str = "deta"
    track_dphi: str = "dphi"
    hadron_pt: str = "pt"
    hadron_length: str = "Lxy"
    hadron_deta: str = "deta"
    hadron_dphi: str = "dphi"
    hadron_mass: str = "mass"
    hadron_x: str = "vx"
    hadron_y: str = "vy"


@dataclass(frozen=True)
class DisplayConfig:
    """Which jets `evaluate.py` draws as event displays.

    Attributes:
        jets: rows of the test file, counted from 0.
        first: draw also the first so many jets of the first signal with a true vertex of two
            tracks or more.
        magnetic_field: along the beam, which bends the tracks [T].
    """

    jets: list[int] = field(default_factory=list)
    first: int = 0
    magnetic_field: float = 2.0

    def __post_init__(self):
        rows = all(row >= 0 for row in self.jets)
        check(rows, "jets", "be rows, counted from 0", self.jets)
        check_range(self, 0, math.inf, "first")


@dataclass(frozen=True)
class DiscriminantConfig:
    """A tagger for one class of jets: D = log(p_signal / sum over backgrounds of f p).

    Source: Eq. 4.3 and 4.4 of the thesis, for any classes.

    Attributes:
        signal: the class.
        backgrounds: class -> its fraction f in the denominator; rejections of these are measured.
        working_points: signal efficiencies of the table.
        fixed_efficiency: signal efficiency at which fractions and jet pT are varied.
    """

    signal: str
    backgrounds: dict[str, float]
    working_points: list[float] = field(default_factory=lambda: [0.60, 0.70, 0.77, 0.85])
    fixed_efficiency: float = 0.70

    def __post_init__(self):
        fractions = self.backgrounds.values()
        good = all(f >= 0 for f in fractions) and math.isclose(sum(fractions), 1.0, abs_tol=1e-6)
        check(good, "backgrounds", "be fractions that add up to 1", self.backgrounds)
        own = self.signal in self.backgrounds
        check(not own, "backgrounds", "not list the signal", self.signal)
        points = self.working_points
        in_range = len(points) > 0 and all(0 < e < 1 for e in points)
        check(in_range, "working_points", "be efficiencies between 0 and 1", points)
        value = self.fixed_efficiency
        check(0 < value < 1, "fixed_efficiency", "be between 0 and 1", value)


@dataclass(frozen=True)
class BaselineConfig:
    """Likelihood ratio of two impact parameter significances, to compare a tagger with.

    Attributes:
        stream: of the tracks.
        fields: transverse and longitudinal significance.
        label: label of the jets that has the two classes.
        signal: class of the jets to be tagged.
        background: class of the others.
    """

    stream: str
    fields: list[str]
    label: str
    signal: str
    background: str

    def __post_init__(self):
        two = len(self.fields) == 2
        check(two, "fields", "name two fields", self.fields)


@dataclass(frozen=True)
class EvaluationConfig:
    """What `evaluate.py` computes.

    Attributes:
        discriminants: taggers by a name of one's own choice, for the classes of jets.
        baseline: a tagger to compare with; none: no baseline.
        batch_size: jets that are read, predicted and written together.
        max_jets: the first so many jets of the test file; none: all.
        fields: further fields of the test file.
        display: jets that are drawn.
        pt_edges: bins of the curves against jet pT, in GeV.
        salt_names: write the index of vertices as `VertexIndex` too, as Salt does.
    """

    discriminants: dict[str, DiscriminantConfig] = field(default_factory=dict)
    baseline: BaselineConfig | None = None
    batch_size: int = 1000
    max_jets: int | None = None
    fields: FieldsConfig = field(default_factory=FieldsConfig)
    display: DisplayConfig = field(default_factory=DisplayConfig)
    pt_edges: list[float] = field(
        default_factory=lambda: [
            *(20, 30, 40, 60, 85, 110, 140, 175, 250),
            *(400, 600, 800, 1000, 1500, 2000, 3000, 5000),
        ]
    )
    salt_names: bool = False

    def __post_init__(self):
        check_range(self, 1, 100_000, "batch_size")
        check_range(self, 1, math.inf, "max_jets")
        rising = len(self.pt_edges) > 1 and all(
            a < b for a, b in itertools.pairwise([0, *self.pt_edges])
        )
        rule = "be at least two rising edges above 0"
        check(rising, "pt_edges", rule, self.pt_edges)
