"""Every option of the command lines, with its default and one line on what it does.

YAML files and dotted command-line overrides are read into frozen dataclasses; an unknown key or a
wrong type is refused with its path. Rules that join several fields are checked in `__post_init__`.
Only `build` functions read these objects: below them functions take plain values.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from maskformer_jax import configuration
from maskformer_jax.configuration import chosen_by, options_of
from maskformer_jax.errors import InputError

# Arguments of weighting methods that training fills in.
FILLED_IN = (
    *("num_tasks", "methods", "method", "own", "shared"),
    *("optimiser", "steps_per_epoch", "norm_params"),
)
Kind = TypeVar("Kind")


def _check(condition: bool, argument: str, rule: str, value: object) -> None:
    if not condition:
        raise InputError(f"`{argument}` must {rule}; got {value!r}")


@dataclass(frozen=True)
class TransformConfig:
    """An invertible function of a field, applied before it is standardised.

    Attributes:
        name: identity, log: log(x/scale), log1p: log(1 + x/scale), or asinh: asinh(x/scale).
        scale: the unit of x, in the unit of the file.
    """

    name: Literal["identity", "log", "log1p", "asinh"] = "identity"
    scale: float = 1.0

    def __post_init__(self):
        _check(self.scale > 0, "transform.scale", "be positive", self.scale)


# Inputs with heavy tails, which standardising alone wastes: how they enter where nothing is said.
HEAVY_TAILED = {
    "pt_btagJes": TransformConfig("log", 1000.0),
    "d0": TransformConfig("asinh", 0.05),
    "z0SinTheta": TransformConfig("asinh", 0.1),
    "qOverP": TransformConfig("asinh", 1e-4),
    "IP3D_signed_d0_significance": TransformConfig("asinh", 1.0),
    "IP3D_signed_z0_significance": TransformConfig("asinh", 1.0),
    "qOverPUncertainty": TransformConfig("log", 1.0),
    "thetaUncertainty": TransformConfig("log", 1.0),
    "phiUncertainty": TransformConfig("log", 1.0),
}


@dataclass(frozen=True)
class JetsConfig:
    """Where the jets are in the file.

    Attributes:
        dataset: name of the dataset.
        inputs: fields that are concatenated to every track.
        transforms: field -> transform, for inputs that should not enter linearly; those of fields
            that are no inputs are ignored.
        label: field of the jet flavour.
        classes: class name -> value of `label`; the order here is the order of the outputs.
    """

    dataset: str = "jets"
    inputs: list[str] = field(default_factory=lambda: ["pt_btagJes", "eta_btagJes"])
    transforms: dict[str, TransformConfig] = field(
        default_factory=lambda: dict(HEAVY_TAILED), metadata=chosen_by("name", "transforms")
    )
    label: str = "flavour_label"
    classes: dict[str, int] = field(default_factory=lambda: {"bjets": 0, "cjets": 1, "ujets": 2})


@dataclass(frozen=True)
class TracksConfig:
    """Where the tracks are in the file.

    Attributes:
        dataset: name of the dataset.
        inputs: fields that the model sees.
        transforms: field -> transform, for inputs that should not enter linearly; those of fields
            that are no inputs are ignored.
        valid: boolean field, True for a real track.
        origin: field of the track origin.
        origin_classes: class name -> value of `origin`; the order here is that of the outputs.
        link: field that names the parent hadron, equal to `hadrons.link` of that hadron.
        cap: most tracks of a jet that are read.
        sort_by: keep the tracks with the largest absolute value of this field; none: the first.
    """

    dataset: str = "tracks"
    inputs: list[str] = field(
        default_factory=lambda: [
            "qOverP",
            "deta",
            "dphi",
            "d0",
            "z0SinTheta",
            "qOverPUncertainty",
            "thetaUncertainty",
            "phiUncertainty",
            "IP3D_signed_d0_significance",
            "IP3D_signed_z0_significance",
            "numberOfPixelHits",
            "numberOfSCTHits",
            "numberOfInnermostPixelLayerHits",
            "numberOfNextToInnermostPixelLayerHits",
            "numberOfInnermostPixelLayerSharedHits",
            "numberOfInnermostPixelLayerSplitHits",
            "numberOfPixelSharedHits",
            "numberOfPixelSplitHits",
            "numberOfSCTSharedHits",
        ]
    )
    transforms: dict[str, TransformConfig] = field(
        default_factory=lambda: dict(HEAVY_TAILED), metadata=chosen_by("name", "transforms")
    )
    valid: str = "valid"
    origin: str = "ftagTruthOriginLabel"
    origin_classes: dict[str, int] = field(
        default_factory=lambda: {
            "pileup": 0,
            "fake": 1,
            "primary": 2,
            "fromB": 3,
            "fromBC": 4,
            "fromC": 5,
            "fromTau": 6,
            "otherSecondary": 7,
        }
    )
    link: str = "ftagTruthParentBarcode"
    cap: int = 50
    sort_by: str | None = None

    def __post_init__(self):
        _check(self.cap >= 1, "data.tracks.cap", "be at least 1", self.cap)


@dataclass(frozen=True)
class HadronsConfig:
    """Where the truth hadrons, the objects to be found, are in the file.

    Attributes:
        dataset: name of the dataset.
        valid: boolean field, True for a real hadron.
        label: field of the hadron's class.
        classes: class name -> value of `label`; the background class `none` is added as the last.
        link: field that identifies the hadron inside its jet.
        targets: fields to regress, in MeV, mm, rad as in the file.
        transforms: field -> transform of a regression target, as for inputs.
        cap: most hadrons of a jet, and the number of object queries.
    """

    dataset: str = "truth_hadrons"
    valid: str = "valid"
    label: str = "flavour"
    classes: dict[str, int] = field(default_factory=lambda: {"b": 5, "c": 4})
    link: str = "barcode"
    targets: list[str] = field(default_factory=lambda: ["pt", "Lxy", "deta", "dphi", "mass"])
    transforms: dict[str, TransformConfig] = field(
        default_factory=lambda: {
            "pt": TransformConfig("log", 1000.0),
            "Lxy": TransformConfig("log1p", 1.0),
            "mass": TransformConfig("log", 1000.0),
        },
        metadata=chosen_by("name", "transforms"),
    )
    cap: int = 5

    def __post_init__(self):
        _check(self.cap >= 1, "data.hadrons.cap", "be at least 1", self.cap)
        _check("none" not in self.classes, "data.hadrons.classes", "not list `none`", self.classes)


@dataclass(frozen=True)
class DataConfig:
    """Files, their layout and the order of reading.

    Attributes:
        train_file: HDF5 file to train on.
        val_file: HDF5 file for the validation after each epoch.
        norm_file: means and standard deviations in Salt's form; none: computed on `train_file`.
            Fields with a transform are always computed.
        class_file: class weights in Salt's form, for `loss.class_weights`.
        jets: layout of the jets.
        tracks: layout of the tracks.
        hadrons: layout of the truth hadrons.
        unlabelled: what to do with jets whose label is in no class: `skip` them, with a count, or
            stop with an `error`.
        train_jets: use only the first jets of `train_file`; none: all.
        val_jets: use only the first jets of `val_file`; none: all.
        block_size: contiguous rows read at once, rounded up to whole chunks of the file.
        group_blocks: blocks whose jets are shuffled together.
    """

    train_file: str | None = None
    val_file: str | None = None
    norm_file: str | None = None
    class_file: str | None = None
    jets: JetsConfig = field(default_factory=JetsConfig)
    tracks: TracksConfig = field(default_factory=TracksConfig)
    hadrons: HadronsConfig = field(default_factory=HadronsConfig)
    unlabelled: Literal["skip", "error"] = "skip"
    train_jets: int | None = None
    val_jets: int | None = None
    block_size: int = 1000
    group_blocks: int = 8

    def __post_init__(self):
        _check(self.block_size >= 1, "data.block_size", "be at least 1", self.block_size)
        _check(self.group_blocks >= 1, "data.group_blocks", "be at least 1", self.group_blocks)
        for name in ("train_jets", "val_jets"):
            jets = getattr(self, name)
            _check(jets is None or jets >= 1, f"data.{name}", "be at least 1", jets)
        for part in ("jets", "tracks", "hadrons"):
            layout = getattr(self, part)
            fields = layout.targets if part == "hadrons" else layout.inputs
            _check(len(fields) > 0, f"data.{part}", "name at least one field", fields)
            _check(len(set(fields)) == len(fields), f"data.{part}", "name a field once", fields)
        for name, classes in (
            ("jets.classes", self.jets.classes),
            ("tracks.origin_classes", self.tracks.origin_classes),
            ("hadrons.classes", self.hadrons.classes),
        ):
            distinct = len(set(classes.values())) == len(classes) > 0
            _check(distinct, f"data.{name}", "give each class a value of its own", classes)


@dataclass(frozen=True)
class ModelConfig:
    """The network; Section 4.1 of the thesis.

    Attributes:
        embed_dim: width E of track and query embeddings.
        encoder_layers: self-attention layers over the tracks.
        decoder_layers: layers that exchange information between queries and tracks.
        num_heads: attention heads.
        feedforward_factor: width of the feed-forward layers in units of `embed_dim`.
        head_widths: hidden layers of each task head.
        position_fields: track inputs that also enter through sines and cosines.
        dropout: probability of dropping an activation in training.
        pool_queries: give the pooled object queries to the jet-class head too.
        compute_dtype: type of the arithmetic; parameters and sums stay in float32.
    """

    embed_dim: int = 256
    encoder_layers: int = 4
    decoder_layers: int = 3
    num_heads: int = 8
    feedforward_factor: int = 2
    head_widths: list[int] = field(default_factory=lambda: [128, 128, 64])
    position_fields: list[str] = field(default_factory=lambda: ["d0", "z0SinTheta", "deta", "dphi"])
    dropout: float = 0.0
    pool_queries: bool = False
    compute_dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        sizes = ("embed_dim", "encoder_layers", "decoder_layers", "num_heads", "feedforward_factor")
        for name in sizes:
            _check(getattr(self, name) >= 1, f"model.{name}", "be at least 1", getattr(self, name))
        positive = all(width >= 1 for width in self.head_widths)
        _check(positive, "model.head_widths", "be widths of at least 1", self.head_widths)
        _check(
            self.embed_dim % self.num_heads == 0,
            "model.embed_dim",
            f"be a multiple of `model.num_heads` = {self.num_heads}",
            self.embed_dim,
        )
        _check(0 <= self.dropout < 1, "model.dropout", "be in [0, 1)", self.dropout)
        if self.position_fields:
            _check(
                self.embed_dim >= 2 * len(self.position_fields),
                "model.embed_dim",
                "hold a sine and a cosine of each of `model.position_fields`",
                self.embed_dim,
            )


@dataclass(frozen=True)
class MatchingConfig:
    """Weights of the pairwise costs in the assignment of queries to hadrons (Eq. 4.1).

    Attributes:
        object_class: weight of the class cost.
        mask_ce: weight of the mask cross-entropy cost.
        mask_dice: weight of the mask Dice cost.
        regression: weight of the regression cost.
    """

    object_class: float = 2.0
    mask_ce: float = 10.0
    mask_dice: float = 2.0
    regression: float = 1.0

    def __post_init__(self):
        for name, weight in vars(self).items():
            _check(0 <= weight < math.inf, f"matching.{name}", "be finite and at least 0", weight)


@dataclass(frozen=True)
class LossConfig:
    """Options of the six losses.

    Attributes:
        none_weight: weight of the class `none` in the object-class loss.
        mask_normalisation: divide the mask cross-entropy of an object by the track `cap`, or by
            the number of `valid` tracks of the jet.
        poly_epsilon: epsilon of the Poly-1 term epsilon (1 - p_t) of the mask cross-entropy.
        focal_gamma: exponent of the focal factor (1 - p_t)^gamma of the mask cross-entropy.
        auxiliary: add the object losses of the intermediate decoder layers.
        class_weights: tasks whose classes are weighted by `data.class_file`.
    """

    none_weight: float = 0.5
    mask_normalisation: Literal["cap", "valid"] = "cap"
    poly_epsilon: float = 0.0
    focal_gamma: float = 0.0
    auxiliary: bool = False
    class_weights: list[Literal["jet_class", "track_origin", "object_class"]] = field(
        default_factory=list
    )

    def __post_init__(self):
        _check(self.none_weight > 0, "loss.none_weight", "be positive", self.none_weight)
        _check(self.focal_gamma >= 0, "loss.focal_gamma", "be at least 0", self.focal_gamma)
        finite = math.isfinite(self.poly_epsilon)
        _check(finite, "loss.poly_epsilon", "be finite", self.poly_epsilon)


@dataclass(frozen=True)
class WeightingConfig:
    """The task weighting: an entry of `weighting.METHODS`.

    Attributes:
        name: the method.
        options: keyword arguments of its factory; for a method on gradients also `granularity`,
            `normalise`, `preference` and `own_weights`.
        shared: parameters over which gradients are compared: those `reached` by at least two
            tasks, those of the `encoder`, which every task reaches, or `all`. The others get the
            gradient of their only task.
        every: renew the weights of a method on the Gramian every so many steps.
        gramian_fraction: fraction of the batch whose gradients make the Gramian, rounded to whole
            rows of tracks, of the first parts of the batch.
        at: compare gradients with respect to the shared `parameters`, or to the `representation`
            that all tasks share, which spares the encoder (MGDA-UB).
    """

    name: str = "equal"
    options: dict[str, object] = field(
        default_factory=dict, metadata=chosen_by("name", "weighting", options=True)
    )
    shared: Literal["reached", "encoder", "all"] = "reached"
    every: int = 1
    gramian_fraction: float = 1.0
    at: Literal["parameters", "representation"] = "parameters"

    def __post_init__(self):
        _check(self.every >= 1, "weighting.every", "be at least 1", self.every)
        in_range = 0 < self.gramian_fraction <= 1
        fraction = self.gramian_fraction
        _check(in_range, "weighting.gramian_fraction", "be above 0 and at most 1", fraction)


@dataclass(frozen=True)
class TrainingConfig:
    """Optimiser, schedule, checkpoints and logs; Section 4.3.3 of the thesis.

    Attributes:
        epochs: passes over the training file.
        batch_size: jets of one step, over all devices.
        seed: seed of the parameters, the order of the jets and the dropout.
        devices: local devices that share a batch.
        pack: put several jets into a row of tracks, so that the arithmetic follows the number of
            real tracks; False: a row for each jet, padded. The same up to rounding, but for the
            draws of the dropout and the rows of `weighting.gramian_fraction`.
        micro_batches: parts of a batch whose gradients are added up one after the other, which
            saves memory; none: as many as fit the cache of a CPU best, and one on accelerators.
            The same as with `pack` holds.
        backward: gradients of several tasks by `vmap` at once, or by `map` in less memory.
        initial_learning_rate: OneCycle schedule at the first step.
        peak_learning_rate: OneCycle schedule at its highest.
        final_learning_rate: OneCycle schedule at the last step.
        warmup_fraction: fraction of the steps before the peak.
        weight_decay: of AdamW.
        max_gradient_norm: clip the update's gradient to this global norm; none: no clipping.
        monitor: validation quantity whose minimum (a loss) or maximum (anything else) marks the
            best checkpoint; any key of the log that starts with `val/`.
        checkpoint_every: steps between checkpoints within an epoch; none: at its end only.
        keep_checkpoints: number of latest checkpoints that are kept, beside the best.
        log_every: steps between lines of the log.
        record_interactions: steps between records of how the tasks' gradients lie to each other
            (`interactions.jsonl`), for any weighting; none: no records.
        record_curvature: add the curvature along the update (Eq. 3.6) to these records, by a
            trapezoid rule with so many points; none: no curvature.
    """

    epochs: int = 20
    batch_size: int = 500
    seed: int = 0
    devices: int = 1
    pack: bool = True
    micro_batches: int | None = None
    backward: Literal["vmap", "map"] = "vmap"
    initial_learning_rate: float = 1e-7
    peak_learning_rate: float = 5e-4
    final_learning_rate: float = 1e-5
    warmup_fraction: float = 0.05
    weight_decay: float = 1e-5
    max_gradient_norm: float | None = None
    monitor: str = "val/loss/jet_class"
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    log_every: int = 50
    record_interactions: int | None = None
    record_curvature: int | None = None

    def __post_init__(self):
        for name in (
            *("epochs", "batch_size", "devices", "micro_batches"),
            *("keep_checkpoints", "log_every", "record_interactions"),
        ):
            value = getattr(self, name)
            _check(value is None or value >= 1, f"training.{name}", "be at least 1", value)
        _check(self.seed >= 0, "training.seed", "be at least 0", self.seed)
        _check(self.weight_decay >= 0, "training.weight_decay", "be at least 0", self.weight_decay)
        clip, every = self.max_gradient_norm, self.checkpoint_every
        _check(clip is None or clip > 0, "training.max_gradient_norm", "be positive", clip)
        _check(every is None or every >= 1, "training.checkpoint_every", "be at least 1", every)
        points, name = self.record_curvature, "training.record_curvature"
        _check(points is None or points >= 2, name, "be at least 2", points)
        _check(
            points is None or self.record_interactions is not None,
            "training.record_interactions",
            f"be given when `{name}` is set",
            self.record_interactions,
        )
        parts = self.devices * (self.micro_batches or 1)
        _check(
            self.batch_size % parts == 0,
            "training.batch_size",
            f"be a multiple of `training.devices` times `training.micro_batches`, which is {parts}",
            self.batch_size,
        )
        _check(
            0 < self.warmup_fraction < 1,
            "training.warmup_fraction",
            "be between 0 and 1",
            self.warmup_fraction,
        )
        _check(
            0 < self.final_learning_rate <= self.peak_learning_rate,
            "training.peak_learning_rate",
            f"be at least `training.final_learning_rate` = {self.final_learning_rate} > 0",
            self.peak_learning_rate,
        )
        _check(
            0 < self.initial_learning_rate <= self.peak_learning_rate,
            "training.initial_learning_rate",
            f"be positive and at most `training.peak_learning_rate` = {self.peak_learning_rate}",
            self.initial_learning_rate,
        )
        _check(
            self.monitor.startswith("val/"), "training.monitor", "start with `val/`", self.monitor
        )


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
        first: draw also the first so many b jets with a true vertex of two tracks or more.
        magnetic_field: along the beam, which bends the tracks [T].
    """

    jets: list[int] = field(default_factory=list)
    first: int = 0
    magnetic_field: float = 2.0

    def __post_init__(self):
        rows = all(row >= 0 for row in self.jets)
        _check(rows, "evaluation.display.jets", "be rows, counted from 0", self.jets)
        _check(self.first >= 0, "evaluation.display.first", "be at least 0", self.first)
        finite = math.isfinite(self.magnetic_field)
        _check(
            finite, "evaluation.display.magnetic_field", "be finite, in tesla", self.magnetic_field
        )


@dataclass(frozen=True)
class EvaluationConfig:
    """What `evaluate.py` computes.

    Attributes:
        charm_fraction: f_c of the b-tagging discriminant (Eq. 4.3).
        bottom_fraction: f_b of the c-tagging discriminant (Eq. 4.4).
        working_points: b-jet efficiencies of the table.
        charm_working_points: c-jet efficiencies of the table.
        fixed_efficiency: b-jet efficiency at which f_c and jet pT are varied.
        fixed_charm_efficiency: c-jet efficiency at which f_b and jet pT are varied.
        batch_size: jets that are read, predicted and written together.
        baseline_fields: track fields (transverse and longitudinal impact parameter significance)
            of the likelihood-ratio baseline; empty: no baseline.
        fields: further fields of the test file.
        display: jets that are drawn.
        pt_edges: bins of the curves against jet pT, in GeV.
    """

    charm_fraction: float = 0.1
    bottom_fraction: float = 0.2
    working_points: list[float] = field(default_factory=lambda: [0.60, 0.70, 0.77, 0.85])
    charm_working_points: list[float] = field(default_factory=lambda: [0.20, 0.30, 0.40, 0.50])
    fixed_efficiency: float = 0.70
    fixed_charm_efficiency: float = 0.30
    batch_size: int = 1000
    baseline_fields: list[str] = field(
        default_factory=lambda: ["IP3D_signed_d0_significance", "IP3D_signed_z0_significance"]
    )
    fields: FieldsConfig = field(default_factory=FieldsConfig)
    display: DisplayConfig = field(default_factory=DisplayConfig)
    pt_edges: list[float] = field(
        default_factory=lambda: [
            *(20, 30, 40, 60, 85, 110, 140, 175, 250),
            *(400, 600, 800, 1000, 1500, 2000, 3000, 5000),
        ]
    )

    def __post_init__(self):
        for name in ("charm_fraction", "bottom_fraction"):
            value = getattr(self, name)
            _check(0 <= value <= 1, f"evaluation.{name}", "be in [0, 1]", value)
        for name in ("working_points", "charm_working_points"):
            points = getattr(self, name)
            in_range = len(points) > 0 and all(0 < e < 1 for e in points)
            _check(in_range, f"evaluation.{name}", "be efficiencies between 0 and 1", points)
        for name in ("fixed_efficiency", "fixed_charm_efficiency"):
            value = getattr(self, name)
            _check(0 < value < 1, f"evaluation.{name}", "be between 0 and 1", value)
        _check(self.batch_size >= 1, "evaluation.batch_size", "be at least 1", self.batch_size)
        _check(
            len(self.pt_edges) > 1
            and all(a < b for a, b in itertools.pairwise([0, *self.pt_edges])),
            "evaluation.pt_edges",
            "be at least two rising edges above 0",
            self.pt_edges,
        )
        _check(
            len(self.baseline_fields) in (0, 2),
            "evaluation.baseline_fields",
            "name two fields or none",
            self.baseline_fields,
        )


@dataclass(frozen=True)
class Config:
    """A training run.

    Attributes:
        name: prefix of the model's fields in the prediction file, and part of names of plots; not
            `baseline`, which is what the impact-parameter tagger is called.
        output_dir: the run folder.
        data: files and layout.
        model: the network.
        matching: assignment of queries to hadrons.
        loss: the six losses.
        weighting: how they are combined.
        training: optimiser, schedule, checkpoints, logs.
        evaluation: what is computed on a test file.
    """

    name: str = "MaskFormer"
    output_dir: str = "runs/maskformer"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    weighting: WeightingConfig = field(default_factory=WeightingConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self):
        usable = self.name not in ("", "baseline") and "/" not in self.name
        _check(usable, "name", "be a name without `/`, other than `baseline`", self.name)
        missing = sorted(set(self.model.position_fields) - set(self.data.tracks.inputs))
        _check(
            not missing,
            "model.position_fields",
            f"be among `data.tracks.inputs` {self.data.tracks.inputs}",
            missing,
        )
        _check(
            not self.loss.class_weights or self.data.class_file is not None,
            "data.class_file",
            "be given when `loss.class_weights` is set",
            self.data.class_file,
        )


@functools.cache
def _tables() -> dict[str, dict[str, type]]:
    """Dataclasses by name: those of transforms, and the options of the task weightings."""
    # Slow to import, and not needed to make a configuration by hand.
    from maskformer_jax.weighting import METHODS, on_shared_parameters

    base = {"base_options": chosen_by("base", "weighting", options=True)}
    options = {}
    for name, method in METHODS.items():
        shared = () if method.family == "loss" else (on_shared_parameters,)
        options[name] = options_of(method.factory, *shared, leave_out=FILLED_IN, choices=base)
    transforms = dict.fromkeys(("identity", "log", "log1p", "asinh"), TransformConfig)
    return {"transforms": transforms, "weighting": options}


def save(config: object, path: Path) -> None:
    """Writes every value of `config` as YAML that `load_saved` reads back."""
    configuration.save(config, path)


def load(
    argv: Sequence[str] | None,
    description: str = "",
    kind: type[Kind] = Config,
    overrides: Iterable[tuple[str, object]] = (),
) -> Kind:
    """The configuration that YAML files and overrides describe; see `configuration.load`.

    Args:
        argv: command-line arguments without the program name: `--config FILE` any number of times
            and `--section.field=value`, later ones win; none: those of the process.
        description: first line of `--help`.
        kind: the dataclass of all options.
        overrides: (dotted path, value), before those of `argv`.

    Raises:
        InputError: a file is missing, a key unknown, a type wrong, or a rule broken.
    """
    tables = _tables() if kind is Config else {}
    return configuration.load(argv, kind, description, tables, overrides=overrides)


def load_saved(path: Path, argv: Sequence[str] = ()) -> Config:
    """The resolved configuration in a file of `save`, with overrides.

    Raises:
        InputError: as `load`.
    """
    return configuration.load_saved(path, Config, _tables(), argv)
