"""YAML files, overlays and overrides; what is refused, with which words; what is shipped."""

import dataclasses
from pathlib import Path

import jax
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.build import build, build_tasks
from maskformer_jax.config import Config
from maskformer_jax.data.config import TransformConfig
from maskformer_jax.errors import InputError
from maskformer_jax.optimisers import OPTIMISERS, SCHEDULES
from maskformer_jax.training import method
from maskformer_jax.weighting import METHODS

CONFIGS = Path(__file__).parents[1] / "configs"
ATLAS, MASKFORMER, QUICKSTART = (
    f"--config={CONFIGS / name}.yaml" for name in ("data/atlas", "maskformer", "quickstart")
)


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
    model = dataclasses.replace(Config().model, embed_dim=32, num_heads=4, head_widths=[8, 4])
    assert found.model == model and found.name == "Last"
    assert found.weighting.name == "cagrad" and found.training.epochs == 7
    assert found.data == Config().data


def test_linear_inputs_undo_every_transform():
    data = configuration.load([ATLAS, f"--config={CONFIGS / 'linear_inputs.yaml'}"]).data
    for place in (data.jets, data.streams["tracks"]):
        chosen = [place.transforms[f] for f in place.inputs if f in place.transforms]
        assert chosen and {transform.name for transform in chosen} == {"identity"}


def test_transforms_and_targets_merge_and_classes_are_replaced(tmp_path):
    overlay = write(
        tmp_path / "a.yaml",
        "data:\n"
        "  streams: {tracks: {transforms: {d0: {name: asinh, scale: 2}}}}\n"
        "  labels: {flavour: {classes: {b: 5, light: 0}}}\n"
        "tasks: {hadrons: {losses: {regression: {targets: {pt: {scale: 1}}}}}}\n",
    )
    found = configuration.load([MASKFORMER, overlay])
    transforms = found.data.streams["tracks"].transforms
    assert transforms["d0"] == TransformConfig("asinh", 2.0)
    assert isinstance(transforms["d0"].scale, float)
    assert transforms["qOverP"] == TransformConfig("asinh", 1e-4)
    assert found.data.labels["flavour"].classes == {"b": 5, "light": 0}
    targets = found.tasks["hadrons"].losses.regression.targets
    assert targets["pt"] == TransformConfig("log", 1.0)
    assert targets["Lxy"] == TransformConfig("log1p", 1.0)


ARGUMENTS = {
    "default": [],
    "quickstart": [QUICKSTART],
    "public": [f"--config={CONFIGS / 'public_dataset.yaml'}"],
    "gn2x": [f"--config={CONFIGS / 'gn2x.yaml'}"],
    "many": [
        MASKFORMER,
        "--data.class_file=c.yaml",
        "--tasks.jet_class.class_weights=file",
        "--tasks.track_origin.class_weights={fake: 2}",
        "--data.streams.tracks.transforms={d0: {name: identity}}",
        "--data.streams.tracks.sort_by=d0",
        "--data.train_jets=12",
        "--data.labels.flavour.classes={bjets: 5, other: -1}",
        "--weighting={name: cr_mogm, options: {base: nash_mtl, base_options: {preference: null}}}",
        "--training.max_gradient_norm=0.1",
        "--training.schedule={name: cosine, options: {peak: 1.0e-9}}",
        "--without=[mask_dice]",
    ],
}


@pytest.mark.parametrize("argv", ARGUMENTS.values(), ids=ARGUMENTS)
def test_saved_and_printed_configurations_read_back_the_same(argv, tmp_path, capsys):
    config = configuration.load(argv)
    configuration.save(config, tmp_path / "config.yaml")
    assert configuration.load_saved(tmp_path / "config.yaml") == config
    with pytest.raises(SystemExit) as caught:
        configuration.load([*argv, "--print_config"])
    assert caught.value.code == 0
    printed = write(tmp_path / "printed.yaml", capsys.readouterr().out)
    assert configuration.load([printed]) == config


@pytest.mark.parametrize(
    "path,name",
    [("schedule", "constant"), ("schedule", "cosine"), ("optimiser", "muon")],
)
def test_a_name_alone_brings_the_defaults_of_its_own_options(path, name):
    table = {"schedule": SCHEDULES, "optimiser": OPTIMISERS}[path]
    config = configuration.load([QUICKSTART, f"--training.{path}.name={name}"])
    assert getattr(config.training, path).options == table[name].options()


def test_saved_configuration_names_every_field(tmp_path):
    configuration.save(Config(), tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    for section in dataclasses.fields(Config):
        assert f"{section.name}:" in text
        if dataclasses.is_dataclass(section.default_factory):
            for option in dataclasses.fields(section.default_factory):
                assert f"  {option.name}:" in text


@pytest.mark.parametrize("line", ["dropout: 0.0", "seed: 0", "dataset: jets", "name: model"])
def test_a_saved_configuration_that_lacks_an_option_is_refused(tmp_path, line):
    path = tmp_path / "config.yaml"
    configuration.save(Config(), path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(x for x in lines if x.strip() != line))
    name = rf"{path}: `[a-z.]*{line.partition(':')[0]}` is missing"
    with pytest.raises(InputError, match=name):
        configuration.load_saved(path)


OPTIONS = "training.schedule.options"
HADRONS = "tasks.hadrons"
BROKEN = [
    ("data.block_size=1e3", "`data.block_size` must be an integer; got 1000.0"),
    (
        "data.train_jets=10000000000",
        "`data.train_jets` must be at most 2147483647; got 10",
    ),
    (f"data.val_jets={10**400}", "`data.val_jets` must be at most 2147483647; got 1000"),
    (
        "data.streams.tracks.cap=1000000",
        "`data.streams.tracks.cap` must be at most 10000",
    ),
    (
        "data.objects.hadrons.cap=10000",
        "`data.objects.hadrons.cap` must be at most 1000",
    ),
    ("model.embed_dim=1000000", "`model.embed_dim` must be at most 16384; got 1000000"),
    (f"{HADRONS}.queries=100000", "`tasks.hadrons.queries` must be at most 1000; got 100000"),
    (
        "tasks.jet_class.head_widths=[0]",
        "`tasks.jet_class.head_widths` must be at least 1",
    ),
    ("training.epochs=1000000", "`training.epochs` must be at most 100000; got 1000000"),
    ("training.max_gradient_norm=.inf", "`training.max_gradient_norm` must be a finite number"),
    ("evaluation.display.jets=[-1]", "`evaluation.display.jets` must be rows"),
    ("data.block_size=0", "`data.block_size` must be at least 1; got 0"),
    ("data.group_blocks=0", "`data.group_blocks` must be at least 1; got 0"),
    ("data.train_jets=0", "`data.train_jets` must be at least 1; got 0"),
    ("data.val_jets=0", "`data.val_jets` must be at least 1; got 0"),
    ("data.streams.tracks.cap=0", "`data.streams.tracks.cap` must be at least 1; got 0"),
    ("data.objects.hadrons.cap=0", "`data.objects.hadrons.cap` must be at least 1; got 0"),
    ("data.objects.hadrons.of=track", "no stream (`data.objects.hadrons.of`) is called 'track'"),
    ("data.labels.origin.of=track", "is called 'track'; did you mean `tracks`?"),
    ("data.labels.origin.unlisted=skip", "`data.labels.origin.unlisted` must be `skip` for jets"),
    (
        "data.labels.hadron_class.classes={b: 5, none: 0}",
        "hadron_class.classes` must not list",
    ),
    ("data.labels.flavour.classes={$b: 1, c: 2}", "`data.labels.flavour.classes` must have names"),
    ("data.labels.flavour.classes={a: 1, b: 1}", "`data.labels.flavour.classes` must give each cl"),
    ("data.labels.origin.classes={}", "`data.labels.origin.classes` must give each cla"),
    ("data.labels.tracks={of: jets, field: a}", "`data.labels` must have other names than jets"),
    ("data.jets.inputs=[a, a]", "`data.jets.inputs` must name a field once; got ['a']"),
    ("data.streams.tracks.inputs=[d0, d0]", "`data.streams.tracks.inputs` must name a field once"),
    ("data.streams.tracks.inputs=[]", "`data.streams.tracks.inputs` must name at least one field"),
    (
        "data.streams.tracks.transforms={pt: {scale: 2}}",
        "`data.streams.tracks.transforms.pt.name` must be given",
    ),
    (
        "data.streams.tracks.transforms={d0: {name: log, scale: -1}}",
        "`data.streams.tracks.transforms.d0.scale` must be positive; got -1.0",
    ),
    ("data.streams.tracks.transforms={d0: {name: sqrt}}", "must be one of identity, log, log1p"),
    ("model.embed_dim=12", "`model.embed_dim` must be a multiple of `num_heads` = 8"),
    ("model.embed_dim=0", "`model.embed_dim` must be at least 1; got 0"),
    ("model.num_heads=0", "`model.num_heads` must be at least 1; got 0"),
    ("model.feedforward_factor=0", "`model.feedforward_factor` must be at least 1; got 0"),
    ("model.head_widths=[64, 0]", "`model.head_widths` must be at least 1; got [64, 0]"),
    ("model.embedding.widths=[0]", "`model.embedding.widths` must be at least 1; got [0]"),
    ("model.dropout=1", "`model.dropout` must be in [0, 1); got 1.0"),
    ("model.head_dropout=-0.1", "`model.head_dropout` must be in [0, 1); got -0.1"),
    ("model={embed_dim: 4, num_heads: 1}", "`model.embed_dim` must hold a sine and a cosine"),
    ("model.encoder.layers=-1", "`model.encoder.layers` must be at least 0; got -1"),
    ("model.encoder.registers=-1", "`model.encoder.registers` must be at least 0; got -1"),
    ("model.encoder={layers: 0, registers: 3}", "`model.encoder.registers` must be left out wit"),
    ("model.encoder={layers: 0, output_dim: 8}", "without `layers`; got 8"),
    (
        "model.encoder={layers: 0, pairs: {tracks: [d0]}}",
        "`model.encoder.pairs.tracks` must be left out without `layers`; got ['d0']",
    ),
    ("model.encoder.pairs={tracks: [d0, d0]}", "pairs.tracks` must name an input once; got ['d0'"),
    ("data.mirrors={m: {jets: [pt, pt]}}", "`data.mirrors.m.jets` must name a field once; got"),
    (
        "data.mirrors={m: {tracks: [ftagTruthOriginLabel, d0]}}",
        "`data.mirrors.m.tracks` must leave out what a label or a link of objects reads; got ['f",
    ),
    ("model.encoder.output_dim=-8", "`model.encoder.output_dim` must be at least 1; got -8"),
    ("model.encoder.output_dim=12", "`model.encoder.output_dim` must be a multiple of"),
    ("model.encoder.norm.epsilon=0", "`model.encoder.norm.epsilon` must be positive; got 0.0"),
    ("model.encoder.norm.name=batch", "must be one of layer_norm, rms_norm; got 'batch'"),
    (f"{HADRONS}.decoder_layers=0", "`tasks.hadrons.decoder_layers` must be at least 1; got 0"),
    (f"{HADRONS}.matching.mask_ce=-1", "`tasks.hadrons.matching.mask_ce` must be at least 0"),
    (f"{HADRONS}.matching.regression=.inf", "`tasks.hadrons.matching.regression` must be a fini"),
    (
        f"{HADRONS}.losses.object_class.none_weight=0",
        "losses.object_class.none_weight` must be",
    ),
    (
        f"{HADRONS}.losses.mask_ce.focal_gamma=-1",
        "losses.mask_ce.focal_gamma` must be at",
    ),
    (f"{HADRONS}.losses.mask_cf={{}}", "no option `tasks.hadrons.losses.mask_cf`; did you mean"),
    (
        "tasks.x={kind: regression, of: jets, targets: {}}",
        "`tasks.x.targets` must name at least",
    ),
    (
        "tasks.x={kind: regression, of: jets, targets: {pt: {}}, denominators: {pz: E}}",
        "no target (`tasks.x.denominators`) is called 'pz'; there are: pt",
    ),
    ("tasks.x={kind: edge, label: vertex}", "`tasks.x.kind` must be one of classification, re"),
    ("tasks.x={label: vertex}", "`tasks.x.kind` must be given: one of classification"),
    ("tasks.jet_class.clas_weights={b: 1}", "no option `tasks.jet_class.clas_weights`; did you"),
    ("training.epochs=0", "`training.epochs` must be at least 1; got 0"),
    ("training.batch_size=0", "`training.batch_size` must be at least 1; got 0"),
    ("training.devices=0", "`training.devices` must be at least 1; got 0"),
    ("training.devices=3", "`training.batch_size` must be a multiple of `devices` times"),
    ("training.keep_checkpoints=0", "`training.keep_checkpoints` must be at least 1; got 0"),
    ("training.log_every=0", "`training.log_every` must be at least 1; got 0"),
    ("training.checkpoint_every=0", "`training.checkpoint_every` must be at least 1; got 0"),
    ("training.record_interactions=0", "`training.record_interactions` must be at least 1; got 0"),
    ("training.record_curvature=1", "`training.record_curvature` must be at least 2; got 1"),
    (
        "training.record_curvature=3",
        "`training.record_interactions` must be given when `record_curvature` is set",
    ),
    ("training.seed=-1", "`training.seed` must be at least 0; got -1"),
    ("training.max_gradient_norm=0", "`training.max_gradient_norm` must be positive; got 0.0"),
    ("training.monitor=loss", "`training.monitor` must start with `val/`; got 'loss'"),
    (
        "training.optimiser.name=adam",
        "`training.optimiser.name` must be one of adamw, muon; got 'adam'",
    ),
    ("training.optimiser.options.weight_decay=-1", "weight_decay` must be at least 0; got -1.0"),
    ("training.optimiser.options.b2=1", "`training.optimiser.options.b2` must be in [0, 1)"),
    ("training.schedule.name=onecycle", "cosine, constant; got 'onecycle'; did you mean `one_cyc"),
    (f"{OPTIONS}.warmup_fraction=1", f"`{OPTIONS}.warmup_fraction` must be between 0 and 1"),
    (f"{OPTIONS}.peak=.nan", f"`{OPTIONS}.peak` must be a finite number; got nan"),
    (f"{OPTIONS}.final=1", f"`{OPTIONS}.final` must be positive and at most `peak` = 0.0005"),
    (f"{OPTIONS}.initial=0", f"`{OPTIONS}.initial` must be positive and at most `peak`"),
    (
        "training.schedule={name: cosine, options: {final: 1}}",
        "final` must be between 0 and `peak`",
    ),
    ("training.schedule={name: constant, options: {rate: 0}}", "rate` must be positive; got 0.0"),
    ("name=baseline", "`name` must be a name without `/`, other than `baseline`; got"),
    ("name=a/b", "`name` must be a name without `/`, other than `baseline`; got"),
    ("evaluation.pt_edges=[40, 20]", "`evaluation.pt_edges` must be at least two rising"),
    ("evaluation.batch_size=0", "`evaluation.batch_size` must be at least 1; got 0"),
    ("evaluation.baseline.fields=[d0]", "`evaluation.baseline.fields` must name two fields"),
    ("evaluation.discriminants.b.working_points=[0.5, 1]", "must be efficiencies between 0 and 1"),
    ("evaluation.discriminants.b.backgrounds={cjets: 2}", "must be fractions that add up to 1"),
    ("evaluation.discriminants.b.fixed_efficiency=1", "fixed_efficiency` must be between 0 and 1"),
    ("model.head_widths=64", "`model.head_widths` must be a list; got 64"),
    ("model.compute_dtype=float16", "`model.compute_dtype` must be one of float32, bfloat16"),
    ("training.epochs=1.5", "`training.epochs` must be an integer; got 1.5"),
    ("training.epochs=null", "`training.epochs` must be an integer; got none"),
    ("data.labels.flavour.classes={b: five}", "data.labels.flavour.classes.b"),
    ("weighting.options=3", "`weighting.options` must be a section; got 3"),
    ("model.width=3", "no option `model.width`"),
    ("modle.embed_dim=64", "no option `modle`; did you mean `model`?"),
    ("epochs=3", "no option `epochs`; did you mean `training.epochs`?"),
    ("model.encoder_layers=3", "did you mean `model.encoder.layers`?"),
    ("output_dir=a\0b", r"`output_dir` must have no NUL in it; got 'a\x00b'"),
    (
        "weighting={name: static, options: {weights: {a: -1}}}",
        "`weighting.options.weights` must hold",
    ),
    ("weighting.options.c=1", "no option `weighting.options.c`"),
    ("weighting.name=static", "`weighting.options.weights` must be given"),
    ("weighting.name=cagrod", "got 'cagrod'; did you mean `cagrad`?"),
    ("weighting={name: cr_mogm, options: {base: magic}}", "`weighting.options.base` must be one"),
    (
        "weighting={name: cr_mogm, options: {base: mgda, base_options: {c: 1}}}",
        "no option `weighting.options.base_options.c`",
    ),
]


@pytest.mark.parametrize(("argument", "message"), BROKEN)
def test_broken_rule_wrong_type_and_unknown_key_are_one_line(argument, message):
    with pytest.raises(InputError) as caught:
        configuration.load([MASKFORMER, f"--{argument}"])
    assert message in str(caught.value) and "\n" not in str(caught.value)


# What only the whole of a configuration shows: overrides -> words of the one line.
STREAM = "data.streams.muons={dataset: muons, inputs: [pt]}"
TOGETHER = [
    (["tasks.jet_class.label=flavor"], "(`tasks.jet_class`) is called 'flavor'; did you mean `fl"),
    (["tasks.jet_class.label=vertex"], "`tasks.jet_class.label` must have classes; got 'vertex'"),
    (
        ["tasks.jet_class.label=hadron_class"],
        "must be of jets or tracks; its label is of 'hadrons'",
    ),
    (["tasks.x={kind: edges, label: origin}"], "`tasks.x.label` must be a label without classes"),
    (["tasks.x={kind: edges, label: flavour}"], "one of the streams tracks; got 'flavour'"),
    (
        [
            STREAM,
            "data.labels.mother={of: muons, field: a}",
            "tasks.x={kind: edges, label: mother, pair_weights: salt}",
        ],
        "`tasks.x.classes_label` must be a label with classes of muons; got 'origin'",
    ),
    (
        ["tasks.x={kind: edges, label: vertex, pair_weights: salt, heavy: [fromD]}"],
        "no class of `tasks.x.heavy` is called 'fromD'; did you mean `fromC`?",
    ),
    (["tasks.x={kind: edges, label: vertex, head_widths: []}"], "must have a hidden layer; got []"),
    (
        ["tasks.x={kind: regression, of: muons, targets: {a: {}}}"],
        "`tasks.x` must be of jets or tr",
    ),
    ([f"{HADRONS}.objects=hadron"], "no objects (`tasks.hadrons.objects`) is called 'hadron'; did"),
    ([f"{HADRONS}.queries=4"], "`tasks.hadrons.queries` must be at least the 5 objects that are"),
    (
        [f"{HADRONS}.losses.regression.means={{eta: deta}}"],
        "no target (`tasks.hadrons.losses.regression.means`) is called 'eta'; did you mean `deta`?",
    ),
    (
        [f"{HADRONS}.losses.regression.means={{deta: eta}}"],
        "no input of tracks (`tasks.hadrons.losses.regression.means.deta`) is called 'eta'; did",
    ),
    ([f"{HADRONS}.losses.object_class.label=flavour"], "must be a label with classes of hadrons"),
    (
        ["tasks.more={kind: objects, objects: hadrons, losses: {mask_ce: {}}}"],
        "`tasks` must give each loss a name of its own; mask_ce exists twice: set `prefix`",
    ),
    (["without=[jet_class, track_origin, hadrons]"], "`tasks` must name at least one task"),
    (["without=[jetclass]"], "(`without`) is called 'jetclass'; did you mean `jet_class`?"),
    (["without=[mask_ce, dice]"], "is called 'dice'; did you mean `mask_dice`?"),
    (["tasks.jet_class.class_weights={taujets: 2}"], "class_weights` is called 'taujets'"),
    (
        ["tasks.jet_class.class_weights={bjets: -2}"],
        "class_weights.bjets` must be positive; got -2",
    ),
    (["tasks.jet_class.class_weights=file"], "`data.class_file` must be given when"),
    (["tasks.jet_class.pool_queries=hadron"], "is called 'hadron'; did you mean `hadrons`?"),
    (
        ["tasks.jet_class.pool_queries=track_origin"],
        "no task with queries (`tasks.jet_class.pool_q",
    ),
    (["tasks.track_origin.pool_queries=hadrons"], "must be left out unless the label is of jets"),
    (["tasks.jet_class.pool_queries=hadrons", "without=[hadrons]"], "is called 'hadrons'; there"),
    (["tasks.jet_class.sample_weight=origin"], "must name a label without classes of jets or jets"),
    (["tasks.jet_class.sample_weight=w"], "no label (`tasks.jet_class`) is called 'w'"),
    (["model.embedding.positions={tracks: [d0, pt]}"], "no input of `tracks` (`model.embedding.po"),
    (["model.encoder.pairs={tracks: [d0, pt]}"], "no input of `tracks` (`model.encoder.pairs.tr"),
    (["model.encoder.pairs={track: [d0]}"], "no stream (`model.encoder.pairs`) is called 'track'"),
    (["data.jets.inputs=[]", "data.streams.tracks.inputs=[d0]", "model.jet_inputs=both"], ""),
]


@pytest.mark.parametrize(("overrides", "message"), TOGETHER, ids=lambda x: str(x)[:40])
def test_what_does_not_fit_together_is_one_line(overrides, message):
    config = configuration.load([MASKFORMER, *(f"--{x}" for x in overrides)])
    if "positions" in overrides[0] or "pairs" in overrides[0]:
        with pytest.raises(InputError) as caught:
            build(config)
    elif not message:
        build_tasks(config)
        return
    else:
        with pytest.raises(InputError) as caught:
            build_tasks(config)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_neither_streams_nor_inputs_of_jets():
    with pytest.raises(InputError, match="`data` must name inputs: streams, or inputs of the jets"):
        build_tasks(Config())


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
    assert "--model.embed_dim (an integer; 256): width E of the states." in text


# Parameters are those of Salt's models, and of the thesis; of the others nobody says a number.
COUNTS = {
    "gn2": 2_339_150,
    "gn2_small": 1_384_685,
    "gn2x": 5_565_774,
    "dips": 66_116,
    "dl1": 50_371,
    "maskformer": 6_478_612,
    "maskformer_small": 1_778_452,
}
MODELS = sorted({*CONFIGS.glob("*.yaml"), *CONFIGS.glob("examples/*.yaml")})
MODELS = [path for path in MODELS if "tasks:" in path.read_text() or "base:" in path.read_text()]


def test_every_model_has_a_row():
    assert set(COUNTS) <= {path.stem for path in MODELS}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_shipped_model_has_the_number_of_parameters_that_it_says(path):
    config = configuration.load([f"--config={path}"])
    if path.stem in COUNTS:
        params = build(config).params
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == COUNTS[path.stem]
    losses = [loss for task in build_tasks(config) for loss in task.losses]
    method.make(config.weighting, losses, steps_per_epoch=10)


OVERLAYS = sorted({*CONFIGS.glob("*.yaml")} - {*MODELS})


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_shipped_overlay_loads_behind_a_model(path):
    assert configuration.load([MASKFORMER, f"--config={path}"]).name == "MaskFormer"


def test_every_method_has_an_overlay_of_its_name():
    overlays = {path.stem: path for path in (CONFIGS / "weighting").glob("*.yaml")}
    assert set(overlays) == set(METHODS)
    tasks = build_tasks(configuration.load([MASKFORMER]))
    losses = [loss for task in tasks for loss in task.losses]
    for name, path in overlays.items():
        weighting = configuration.load([MASKFORMER, f"--config={path}"]).weighting
        assert weighting.name == name
        method.make(weighting, losses, steps_per_epoch=10)
