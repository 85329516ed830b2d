"""The package computes what it did when the reference values were recorded."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import golden
from network_gradients import CONFIGS

from maskformer_jax import config as configuration
from maskformer_jax.build import build
from maskformer_jax.data import JetFile, TrainLoader, fit_scaling, read_sequential
from maskformer_jax.experiment import _layout, training_layout
from maskformer_jax.gradients import LossSums, stacked
from maskformer_jax.training import loop
from maskformer_jax.training.batches import used_parts
from maskformer_jax.training.logging import read_log
from maskformer_jax.training.progress import Pace
from maskformer_jax.types import Batch, ObjectLabels, Stream

TINY = [
    f"--config={CONFIGS / 'maskformer.yaml'}",
    *("--data.streams.tracks.cap=16", "--data.block_size=10", "--data.group_blocks=3"),
    *("--model.embed_dim=8", "--model.num_heads=2", "--model.encoder.layers=1"),
    *("--model.feedforward_factor=1", "--model.head_widths=[8]"),
    *("--tasks.hadrons.decoder_layers=2", "--training.batch_size=20", "--training.epochs=5"),
    *("--training.log_every=1", "--training.schedule.options.peak=0.01"),
]
HADRONS = "--tasks.hadrons.losses"
# Options of the recorded commit -> overrides; others have the same names.
OPTIONS = {
    "loss.auxiliary": ["--tasks.hadrons.auxiliary=true"],
    "loss.mask_normalisation": [f"{HADRONS}.mask_ce.normalisation=valid"],
    "loss.poly_epsilon": [f"{HADRONS}.mask_ce.poly_epsilon=1"],
    "loss.focal_gamma": [f"{HADRONS}.mask_ce.focal_gamma=2"],
    "model.pool_queries": ["--tasks.jet_class.pool_queries=hadrons"],
    "loss.class_weights": [
        "--tasks.jet_class.class_weights=file",
        "--tasks.track_origin.class_weights=file",
        f"{HADRONS}.object_class.class_weights=file",
    ],
}
# Parameters of the recorded commit -> names; the first pattern that fits counts.
DECODER = "heads/hadrons/decoder"
NAMES = [
    (r"embedding/hidden", "embedding/tracks/network/layers/0"),
    (r"embedding/output", "embedding/tracks/network/layers/1"),
    (r"encoder/(\d)/attention_norm", r"encoder/layers/\1/attended/norm"),
    (r"encoder/(\d)/feedforward_norm", r"encoder/layers/\1/fed_forward/norm"),
    (r"encoder/(\d)", r"encoder/layers/\1"),
    (r"encoder_norm", "encoder/norm"),
    (r"query_pooling", "heads/jet_class/pooling"),
    (r"(jet_class|track_origin)", r"heads/\1/network"),
    (r"queries", f"{DECODER}/queries"),
    (r"objects/track_norm", f"{DECODER}/heads/constituent_norm"),
    (r"objects", f"{DECODER}/heads"),
    (r"decoder/(\d)/cross_norm", rf"{DECODER}/layers/\1/cross/norm"),
    (r"decoder/(\d)/self_norm", rf"{DECODER}/layers/\1/between/norm"),
    (r"decoder/(\d)/query_norm", rf"{DECODER}/layers/\1/query/norm"),
    (r"decoder/(\d)/update_norm", rf"{DECODER}/layers/\1/update/norm"),
    (r"decoder/(\d)/tracks_norm", rf"{DECODER}/layers/\1/constituent/norm"),
    (r"decoder/(\d)/track_norm", rf"{DECODER}/layers/\1/constituent_norm"),
    (r"decoder/(\d)/update_query_norm", rf"{DECODER}/layers/\1/query_norm"),
    (r"decoder/(\d)/track_feedforward", rf"{DECODER}/layers/\1/constituent_feedforward"),
    (r"decoder/(\d)", rf"{DECODER}/layers/\1"),
    (r"pooling", "pooling"),
]
# Log that is made again with every run of the tests; `make campaign` makes all.
ALWAYS = "cagrad_parts"
FIGURES = {
    "val/flavour_accuracy": "val/accuracy/jet_class",
    "val/origin_accuracy": "val/accuracy/track_origin",
    "val/object_efficiency": "val/efficiency/hadrons",
    "val/object_purity": "val/purity/hadrons",
}


def renamed(path):
    for old, new in NAMES:
        if re.match(rf"{old}(/|$)", path):
            return re.sub(f"^{old}", new, path)
    raise KeyError(path)


def by_path(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(x.key) for x in path): np.asarray(leaf) for path, leaf in leaves}


def load(folder, options=()):
    argv = [f"--data.{name}_file={folder / name}.h5" for name in golden.JETS]
    for name, value in dict(options).items():
        plain = value if isinstance(value, str) else json.dumps(value)
        argv += OPTIONS.get(name, [f"--{name}={plain}"])
    return configuration.load([*TINY, *argv])


class Files:
    """A model and the batches that it is trained on."""

    def __init__(self, config):
        self.config, self.model, settings = config, build(config), config.training
        train, self.val = (
            JetFile(path, self.model.schema)
            for path in (config.data.train_file, config.data.val_file)
        )
        self.scaling = fit_scaling(train)
        self.loader = TrainLoader(
            *(train, self.scaling),
            batch_size=settings.batch_size,
            seed=settings.seed,
            layout=training_layout(config, train, self.model.tokens),
        )

    def validation(self):
        layout = _layout(self.config, self.val, None, self.model.tokens)
        options = {"labelled_only": True, "layout": layout}
        size = self.config.training.batch_size
        for _, *pair in read_sequential(self.val, self.scaling, size, **options):
            yield from used_parts(*pair)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    golden.write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return Files(load(folder))


def leaves_of(batch, labels):
    """By the names of the recorded commit."""
    return {
        "jets": batch.jets,
        "tracks": batch.streams["tracks"].values,
        "valid": batch.streams["tracks"].valid,
        "jet_valid": batch.jet_valid,
        "jet_class_index": labels["flavour"],
        "origin_index": labels["origin"],
        "object_class_index": labels["hadron_class"],
        "object_valid": labels["hadrons"].valid,
        "masks": labels["hadrons"].masks,
        "regression": labels["hadrons.regression"],
    }


def pair_of(layout):
    """The first batch as it was recorded."""
    x = jax.tree.map(jnp.asarray, golden.batch(layout))
    batch = Batch(x["jets"], x["jet_valid"], {"tracks": Stream(x["tracks"], x["valid"])}, {})
    return batch, {
        "flavour": x["jet_class_index"],
        "origin": x["origin_index"],
        "hadron_class": x["object_class_index"],
        "hadrons": ObjectLabels(x["object_valid"], x["masks"]),
        "hadrons.regression": x["regression"],
    }


def parameters(model, pool_queries=False):
    """The recorded parameters, in the structure of the model."""
    found = {renamed(k): v for k, v in golden.parameters(pool_queries).items()}
    want = by_path(model.params)
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in want.items()}
    return jax.tree.unflatten(jax.tree.structure(model.params), [found[k] for k in want])


def test_scaling(files):
    facts = golden.facts()["scaling"]
    fitted = {
        "jets": files.scaling.jets,
        "tracks": files.scaling.streams["tracks"],
        "targets": files.scaling.targets["hadrons.regression"],
    }
    assert set(facts) == set(fitted)
    for place, part in fitted.items():
        assert list(part.fields) == facts[place]["fields"]
        assert part.mean.tolist() == facts[place]["mean"]
        assert part.std.tolist() == facts[place]["std"]


@pytest.mark.parametrize("layout", golden.facts()["batches"])
def test_batches_are_byte_for_byte_the_same(folder, layout):
    facts = golden.facts()["batches"][layout]
    files = Files(load(folder, facts["options"]))
    iterator, found = files.loader.iterator(), files.loader.layout._asdict()
    found |= {"width": found.pop("widths")["tracks"]}
    assert found.pop("groups") in (found["rows"], files.config.training.devices)
    assert found.pop("pairs") == {} and found == facts["layout"]
    for expected in facts["train"]:
        assert golden.checksums(leaves_of(*next(iterator))) == expected
    found = [golden.checksums(leaves_of(*pair)) for pair in files.validation()]
    assert found == facts["validation"]


@pytest.mark.parametrize("name", golden.facts()["losses"])
def test_losses(folder, name):
    facts = golden.facts()["losses"][name]
    model = build(load(folder, facts["options"]))
    assert list(model.losses) == golden.facts()["tasks"]
    params = parameters(model, pool_queries=name == "pool_queries")
    # That other options see the same jets in both layouts, `tests/model/test_packed.py` holds.
    for layout in ("packed", "padded") if name == "default" else ("packed",):
        pair = pair_of(layout)
        sums = jax.jit(lambda p, x: stacked(model.terms(model.apply(p, x[0]), *x)))(params, pair)
        np.testing.assert_allclose(sums.mean(), facts[layout]["mean"], rtol=1e-6)
        np.testing.assert_allclose(sums.count, facts[layout]["count"], rtol=1e-6)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_gradients(files, layout):
    model, (batch, labels) = files.model, pair_of(layout)

    @jax.jit
    @jax.jacrev
    def gradients(params):
        sums: LossSums = stacked(model.terms(model.apply(params, batch), batch, labels))
        return sums.mean()

    found = by_path(gradients(parameters(model)))
    for path, expected in golden.gradients().items():
        for row, other, loss in zip(found[renamed(path)], expected, model.losses, strict=True):
            norm = np.linalg.norm(other)
            # What is zero but for rounding, such as a bias in front of a softmax, has no digit.
            limit = max(1e-5 * norm, 1e-7)
            assert np.linalg.norm(row - other) <= limit, f"{loss} {path}: {norm}"


RUNS = [
    pytest.param(run, marks=() if run == ALWAYS else pytest.mark.campaign)
    for run in golden.facts()["runs"]
]


@pytest.mark.parametrize("run", RUNS)
def test_logs(folder, tmp_path, run):
    """Not further off than ten times what another order of the rows does."""
    files = Files(load(folder, golden.facts()["runs"][run]["options"]))
    trainer = loop.build(files.config, files.model, 20, spread=files.loader.layout.spread)
    params = jax.tree.map(np.array, parameters(files.model))
    trainer = trainer._replace(state=trainer.state._replace(params=params))
    loop.train(files.config, tmp_path, trainer, files.loader, files.validation)
    lines = read_log(tmp_path)
    found = [{k: x for k, x in line.items() if k not in Pace._fields} for line in lines]
    # What nothing was counted for was NaN, and is left out now.
    expected = [
        {FIGURES.get(k, k): x for k, x in line.items() if not np.isnan(x)}
        for line in golden.log(run)
    ]
    moved, noise = golden.difference(found, expected), golden.noise(run)
    noise = {FIGURES.get(k, k): x for k, x in noise.items()}
    assert {k: (x, noise[k]) for k, x in moved.items() if x > 10 * noise[k]} == {}
