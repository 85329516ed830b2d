"""YAML files, overlays and overrides; what is refused, with which words; what is shipped."""

import dataclasses
import math
from pathlib import Path

import jax
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.config import (
    HEAVY_TAILED,
    Config,
    LossConfig,
    ModelConfig,
    TransformConfig,
)
from maskformer_jax.errors import InputError
from maskformer_jax.model import maskformer
from maskformer_jax.training import method
from maskformer_jax.weighting import METHODS

CONFIGS = Path(__file__).parents[1] / "configs"
QUICKSTART = CONFIGS / "quickstart.yaml"


def write(path, text):
    path.write_text(text)
    return f"--config={path}"


def test_without_arguments_every_default_holds():
    assert configuration.load([]) == Config()


def test_later_files_and_overrides_win(tmp_path):
    first = write(
        tmp_path / "a.yaml",
        "name: First\nmodel: {embed_dim: 64, num_heads: 4}\ntraining: {epochs: 3}\n",
    )
    second = write(tmp_path / "b.yaml", "model: {embed_dim: 32}\nweighting: {name: cagrad}\n")
    found = configuration.load(
        [first, second, "--training.epochs=7", "--model.head_widths=[8, 4]", "--name", "Last"]
    )
    expected = Config(name="Last", model=ModelConfig(embed_dim=32, num_heads=4, head_widths=[8, 4]))
    assert found.model == expected.model and found.name == expected.name
    assert found.weighting.name == "cagrad" and found.training.epochs == 7
    assert found.loss == expected.loss and found.data == expected.data


def test_options_of_a_method_take_dotted_overrides_and_are_checked(tmp_path):
    overlay = write(tmp_path / "a.yaml", "weighting: {name: nash_mtl, options: {max_norm: 2}}\n")
    found = configuration.load([overlay, "--weighting.options.update_every=4"])
    assert found.weighting.options == {"max_norm": 2.0, "update_every": 4}
    assert isinstance(found.weighting.options["max_norm"], float)


def test_values_are_turned_into_their_types(tmp_path):
    overlay = write(
        tmp_path / "a.yaml",
        "data:\n  train_file: null\n  tracks:\n    transforms: {d0: {name: asinh, scale: 2}}\n"
        "training: {max_gradient_norm: 1}\n",
    )
    found = configuration.load([overlay])
    assert found.data.tracks.transforms == {**HEAVY_TAILED, "d0": TransformConfig("asinh", 2.0)}
    assert isinstance(found.training.max_gradient_norm, float)
    assert isinstance(found.data.tracks.transforms["d0"].scale, float)


def test_linear_inputs_undo_every_transform():
    found = configuration.load([f"--config={CONFIGS / 'linear_inputs.yaml'}"]).data
    for layout in (found.jets, found.tracks):
        names = {layout.transforms[f].name for f in layout.inputs if f in layout.transforms}
        assert names == {"identity"}


ARGUMENTS = {
    "default": [],
    "quickstart": [f"--config={QUICKSTART}"],
    "public": [f"--config={QUICKSTART}", f"--config={CONFIGS / 'public_dataset.yaml'}"],
    "many": [
        "--data.class_file=c.yaml",
        "--loss.class_weights=[jet_class, object_class]",
        "--data.tracks.transforms={d0: {name: identity}}",
        "--data.tracks.sort_by=d0",
        "--data.train_jets=12",
        "--data.jets.classes={bjets: 5, other: -1}",
        "--weighting={name: cr_mogm, options: {base: nash_mtl, base_options: {preference: null}}}",
        "--training.max_gradient_norm=0.1",
        "--training.initial_learning_rate=1.0e-9",
        "--evaluation.baseline_fields=[]",
    ],
}


@pytest.mark.parametrize("argv", ARGUMENTS.values(), ids=ARGUMENTS)
def test_resolved_config_reads_back_the_same(argv, tmp_path):
    config = configuration.load(argv)
    configuration.save(config, tmp_path / "config.yaml")
    assert configuration.load([f"--config={tmp_path / 'config.yaml'}"]) == config


def test_resolved_config_names_every_field(tmp_path):
    configuration.save(Config(), tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    for section in dataclasses.fields(Config):
        assert f"{section.name}:" in text
        if dataclasses.is_dataclass(section.default_factory):
            for option in dataclasses.fields(section.default_factory):
                assert f"  {option.name}:" in text


BROKEN = [
    ("--data.block_size=0", "`data.block_size` must be at least 1; got 0"),
    ("--data.group_blocks=0", "`data.group_blocks` must be at least 1; got 0"),
    ("--data.train_jets=0", "`data.train_jets` must be at least 1; got 0"),
    ("--data.val_jets=0", "`data.val_jets` must be at least 1; got 0"),
    ("--data.tracks.cap=0", "`data.tracks.cap` must be at least 1; got 0"),
    ("--data.hadrons.cap=0", "`data.hadrons.cap` must be at least 1; got 0"),
    ("--data.hadrons.classes={b: 5, none: 0}", "`data.hadrons.classes` must not list `none`"),
    ("--data.jets.inputs=[]", "`data.jets` must name at least one field; got []"),
    ("--data.tracks.inputs=[d0, d0]", "`data.tracks` must name a field once"),
    ("--data.hadrons.targets=[]", "`data.hadrons` must name at least one field"),
    ("--data.tracks.transforms={pt: {scale: 2}}", "`data.tracks.transforms.pt.name` must be given"),
    ("--data.jets.classes={a: 1, b: 1}", "`data.jets.classes` must give each class a value"),
    ("--data.tracks.origin_classes={}", "`data.tracks.origin_classes` must give each class"),
    ("--data.hadrons.classes={b: 4, c: 4}", "`data.hadrons.classes` must give each class"),
    (
        "--data.tracks.transforms={d0: {name: log, scale: -1}}",
        "`transform.scale` must be positive; got -1.0",
    ),
    ("--model.embed_dim=12", "`model.embed_dim` must be a multiple of `model.num_heads` = 8"),
    ("--model.embed_dim=0", "`model.embed_dim` must be at least 1; got 0"),
    ("--model.num_heads=0", "`model.num_heads` must be at least 1; got 0"),
    ("--model.encoder_layers=0", "`model.encoder_layers` must be at least 1; got 0"),
    ("--model.decoder_layers=0", "`model.decoder_layers` must be at least 1; got 0"),
    ("--model.feedforward_factor=0", "`model.feedforward_factor` must be at least 1; got 0"),
    ("--model.head_widths=[64, 0]", "`model.head_widths` must be widths of at least 1"),
    ("--model.dropout=1", "`model.dropout` must be in [0, 1); got 1.0"),
    ("--model.dropout=-0.1", "`model.dropout` must be in [0, 1); got -0.1"),
    ("--model={embed_dim: 4, num_heads: 1}", "`model.embed_dim` must hold a sine and a cosine"),
    ("--model.position_fields=[d0, pt]", "`model.position_fields` must be among `data.tracks.in"),
    ("--matching.mask_ce=-1", "`matching.mask_ce` must be finite and at least 0; got -1.0"),
    ("--matching.regression=.inf", "`matching.regression` must be a finite number; got inf"),
    ("--loss.none_weight=0", "`loss.none_weight` must be positive; got 0.0"),
    ("--loss.focal_gamma=-1", "`loss.focal_gamma` must be at least 0; got -1.0"),
    ("--loss.poly_epsilon=.nan", "`loss.poly_epsilon` must be a finite number; got nan"),
    ("--loss.class_weights=[jet_class]", "`data.class_file` must be given when"),
    ("--training.epochs=0", "`training.epochs` must be at least 1; got 0"),
    ("--training.batch_size=0", "`training.batch_size` must be at least 1; got 0"),
    ("--training.devices=0", "`training.devices` must be at least 1; got 0"),
    (
        "--training.devices=3",
        "`training.batch_size` must be a multiple of `training.devices` times",
    ),
    ("--training.keep_checkpoints=0", "`training.keep_checkpoints` must be at least 1; got 0"),
    ("--training.log_every=0", "`training.log_every` must be at least 1; got 0"),
    ("--training.checkpoint_every=0", "`training.checkpoint_every` must be at least 1; got 0"),
    (
        "--training.record_interactions=0",
        "`training.record_interactions` must be at least 1; got 0",
    ),
    ("--training.record_curvature=1", "`training.record_curvature` must be at least 2; got 1"),
    (
        "--training.record_curvature=3",
        "`training.record_interactions` must be given when `training.record_curvature` is set",
    ),
    ("--training.seed=-1", "`training.seed` must be at least 0; got -1"),
    ("--training.weight_decay=-1", "`training.weight_decay` must be at least 0; got -1.0"),
    ("--training.max_gradient_norm=0", "`training.max_gradient_norm` must be positive; got 0.0"),
    ("--training.warmup_fraction=1", "`training.warmup_fraction` must be between 0 and 1"),
    ("--training.warmup_fraction=0", "`training.warmup_fraction` must be between 0 and 1"),
    ("--training.peak_learning_rate=.nan", "`training.peak_learning_rate` must be a finite number"),
    ("--training.final_learning_rate=1", "`training.peak_learning_rate` must be at least"),
    ("--training.final_learning_rate=0", "`training.peak_learning_rate` must be at least"),
    ("--training.initial_learning_rate=1", "`training.initial_learning_rate` must be positive"),
    ("--training.initial_learning_rate=0", "`training.initial_learning_rate` must be positive"),
    ("--training.monitor=loss", "`training.monitor` must start with `val/`; got 'loss'"),
    ("--name=baseline", "`name` must be a name without `/`, other than `baseline`; got"),
    ("--name=a/b", "`name` must be a name without `/`, other than `baseline`; got"),
    ("--evaluation.charm_fraction=2", "`evaluation.charm_fraction` must be in [0, 1]; got 2.0"),
    ("--evaluation.working_points=[]", "`evaluation.working_points` must be efficiencies"),
    ("--evaluation.working_points=[0.5, 1]", "`evaluation.working_points` must be efficiencies"),
    ("--evaluation.bottom_fraction=-1", "`evaluation.bottom_fraction` must be in [0, 1]; got -1"),
    ("--evaluation.charm_working_points=[0]", "`evaluation.charm_working_points` must be eff"),
    ("--evaluation.fixed_efficiency=1", "`evaluation.fixed_efficiency` must be between 0 and 1"),
    ("--evaluation.fixed_charm_efficiency=0", "`evaluation.fixed_charm_efficiency` must be betw"),
    ("--evaluation.pt_edges=[20]", "`evaluation.pt_edges` must be at least two rising"),
    ("--evaluation.pt_edges=[0, 20]", "`evaluation.pt_edges` must be at least two rising"),
    ("--evaluation.pt_edges=[40, 20]", "`evaluation.pt_edges` must be at least two rising"),
    ("--evaluation.batch_size=0", "`evaluation.batch_size` must be at least 1; got 0"),
    ("--evaluation.baseline_fields=[d0]", "`evaluation.baseline_fields` must name two fields"),
]
WRONG = [
    ("--model.embed_dim=wide", "model.embed_dim"),
    ("--model.head_widths=64", "model.head_widths"),
    ("--model.compute_dtype=float16", "model.compute_dtype"),
    ("--training.epochs=1.5", "training.epochs"),
    ("--training.epochs=null", "training.epochs"),
    ("--data.unlabelled=ignore", "data.unlabelled"),
    ("--data.jets.classes={b: five}", "data.jets.classes"),
    ("--data.tracks.transforms={d0: {name: sqrt}}", "data.tracks.transforms"),
    ("--loss.class_weights=[mask_ce]", "loss.class_weights"),
    ("--weighting.options=3", "weighting.options"),
    ("--model.width=3", "no option `model.width`"),
    ("--modle.embed_dim=64", "no option `modle`; did you mean `model`?"),
    ("--weighting.options.c=1", "no option `weighting.options.c`"),
    ("--weighting.name=static", "`weighting.options.weights` must be given"),
    ("--weighting.name=magic", "`weighting.name` must be one of equal, static"),
    ("--weighting={name: cr_mogm, options: {base: magic}}", "`weighting.options.base` must be one"),
    (
        "--weighting={name: cr_mogm, options: {base: mgda, base_options: {c: 1}}}",
        "no option `weighting.options.base_options.c`",
    ),
    ("stray", "stray"),
]


@pytest.mark.parametrize(("argument", "message"), BROKEN + WRONG)
def test_broken_rule_wrong_type_and_unknown_key_are_one_line(argument, message):
    with pytest.raises(InputError) as caught:
        configuration.load([argument])
    assert message in str(caught.value) and "\n" not in str(caught.value)


FILES = {
    "unknown section": ("modle: {embed_dim: 64}\n", "modle"),
    "unknown key": ("model: {width: 64}\n", "width"),
    "wrong type": ("model: {embed_dim: [64]}\n", "model.embed_dim"),
    "broken rule": ("model: {embed_dim: 12}\n", "`model.embed_dim` must be a multiple"),
    "not YAML": ("model: {embed_dim: 64\n", "a.yaml, line 2: expected"),
    "a list": ("- model\n", "must hold a mapping; got a list"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_wrong_file_is_one_line(text, message, tmp_path):
    with pytest.raises(InputError) as caught:
        configuration.load([write(tmp_path / "a.yaml", text)])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_file_that_is_missing_or_not_text_is_one_line(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for path, message in (("none.yaml", "no such file"), ("binary.yaml", "line 1: not UTF-8")):
        with pytest.raises(InputError) as caught:
            configuration.load([f"--config={tmp_path / path}"])
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_help_describes_the_options(capsys):
    with pytest.raises(SystemExit) as caught:
        configuration.load(["--help.model"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "--model.embed_dim (an integer; 256): width E of track and query embeddings." in text


@pytest.mark.parametrize("argv", ARGUMENTS.values(), ids=ARGUMENTS)
def test_printed_config_reads_back_the_same(argv, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        configuration.load([*argv, "--print_config"])
    assert caught.value.code == 0
    printed = write(tmp_path / "config.yaml", capsys.readouterr().out)
    assert configuration.load([printed]) == configuration.load(argv)


def test_classes_are_replaced_and_transforms_merged(tmp_path):
    overlay = write(
        tmp_path / "a.yaml",
        "data:\n  jets: {classes: {b: 5, light: 0}}\n"
        "  hadrons: {targets: [pt], transforms: {pt: {scale: 1}}}\n",
    )
    found = configuration.load([overlay]).data
    assert found.jets.classes == {"b": 5, "light": 0}
    assert found.hadrons.transforms["pt"] == TransformConfig("log", 1.0)
    assert found.hadrons.transforms["Lxy"] == TransformConfig("log1p", 1.0)


def describes_a_run(path):
    return "output_dir:" in path.read_text()


# Those of simulations and studies have options of their own.
OTHERS = {*CONFIGS.glob("simulation/*.yaml"), *CONFIGS.glob("study/*.yaml")}
SHIPPED = sorted({*CONFIGS.rglob("*.yaml")} - OTHERS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_shipped_config_loads(path):
    """Alone if it names a run folder; otherwise it is an overlay, here of the quickstart."""
    base = [] if describes_a_run(path) else [f"--config={QUICKSTART}"]
    config = configuration.load([*base, f"--config={path}"])
    assert config.name == "MaskFormer"
    method.make(config.weighting, steps_per_epoch=10)


def test_every_method_has_an_overlay_of_its_name():
    overlays = {path.stem: path for path in (CONFIGS / "weighting").glob("*.yaml")}
    assert set(overlays) == set(METHODS)
    for name, path in overlays.items():
        assert configuration.load([f"--config={path}"]).weighting.name == name


@pytest.mark.parametrize(
    ("name", "millions"), [("maskformer.yaml", 6.3), ("maskformer_small.yaml", 1.8)]
)
def test_number_of_parameters(name, millions):
    config = configuration.load([f"--config={CONFIGS / name}"])
    params = jax.eval_shape(lambda: maskformer.build(config, seed=0)[1])
    total = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    assert total / 1e6 == pytest.approx(millions, rel=0.05)


def test_rules_hold_for_objects_as_for_files():
    with pytest.raises(InputError, match=r"`loss.none_weight` must be positive"):
        LossConfig(none_weight=-1.0)
    with pytest.raises(InputError, match=r"`model.position_fields` must be among"):
        Config(model=ModelConfig(position_fields=["pt"]))
