"""Classification of jets and constituents against SciPy, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from maskformer_jax.build import build_tasks
from maskformer_jax.errors import InputError

WEIGHT = "--data.labels.weight={of: jets, field: w}"
TRACK_WEIGHT = "--data.labels.weight={of: tracks, field: w}"
JETS, TRACKS = "--tasks.jet_class", "--tasks.track_origin"
ROWS = {
    "jets": ("jet_class", []),
    "classes of jets": ("jet_class", [f"{JETS}.class_weights={{cjets: 4, ujets: 0.5}}"]),
    "weights of jets": ("jet_class", [WEIGHT, f"{JETS}.sample_weight=weight"]),
    "tracks": ("track_origin", []),
    "classes of tracks": ("track_origin", [f"{TRACKS}.class_weights={{fake: 9}}"]),
    "weights of their jets": ("track_origin", [WEIGHT, f"{TRACKS}.sample_weight=weight"]),
    "weights of tracks": ("track_origin", [TRACK_WEIGHT, f"{TRACKS}.sample_weight=weight"]),
    "both weights": (
        "track_origin",
        [WEIGHT, f"{TRACKS}.sample_weight=weight", f"{TRACKS}.class_weights={{primary: 0.1}}"],
    ),
}


def task_of(config, name):
    return next(task for task in build_tasks(config) if task.name == name)


@pytest.mark.parametrize("row", ROWS)
def test_loss_is_the_weighted_mean_of_the_labelled_entries(
    row, tiny_with, make_batch, make_outputs
):
    name, overrides = ROWS[row]
    config = tiny_with(*overrides)
    options, (batch, labels), logits = config.tasks[name], make_batch(), make_outputs()[name]
    of_tracks, generator = name == "track_origin", np.random.default_rng(0)
    valid = np.asarray(batch.streams["tracks"].valid if of_tracks else batch.jet_valid)
    weight = np.ones(valid.shape)
    if options.sample_weight is not None:
        of_jets = config.data.labels["weight"].of == "jets"
        # Negative weights, as of some generators, count as what they are.
        sample = generator.uniform(-0.5, 2, 5 if of_jets else valid.shape).astype(np.float32)
        weight = sample[:, None] * weight if of_jets and of_tracks else sample
        labels = {**labels, "weight": jnp.asarray(sample)}
    index = np.asarray(labels[options.label])
    classes = list(config.data.labels[options.label].classes)
    total = count = 0.0
    for where in np.argwhere(valid & (index >= 0)):
        where = tuple(where)
        true = index[where]
        w = float(weight[where]) * (options.class_weights or {}).get(classes[true], 1.0)
        total += w * -log_softmax(np.asarray(logits[where], np.float64))[true]
        count += w
    (found,) = jax.jit(task_of(config, name).terms)(logits, batch, labels)
    np.testing.assert_allclose([found.total, found.count], [total, count], rtol=2e-5)


def test_confusion_counts_the_labelled_entries(tiny_config, make_batch, make_outputs):
    """Rows are true classes; what has no label, or no truth, is not counted."""
    (batch, labels), logits = make_batch(), make_outputs()["track_origin"]
    task = task_of(tiny_config, "track_origin")
    index, valid = np.asarray(labels["origin"]), np.asarray(batch.streams["tracks"].valid)
    expected, predicted = np.zeros((8, 8), int), np.asarray(logits).argmax(-1)
    for where in np.argwhere(valid & (index >= 0)):
        expected[index[tuple(where)], predicted[tuple(where)]] += 1
    found = jax.device_get(task.count(logits, batch, labels))
    np.testing.assert_array_equal(found["confusion"], expected)
    right = np.trace(expected) / expected.sum()
    assert task.figures(found) == {"accuracy/track_origin": pytest.approx(right)}
    assert task.count(logits, batch, {}) == {}
    assert task.figures({"confusion": np.zeros((8, 8), int)}) == {}


def test_class_weights_of_a_file(tiny_with, tmp_path, make_batch, make_outputs):
    path = tmp_path / "classes.yaml"
    path.write_text("jets: {flavour_label: {ujets: 3.0, bjets: 1.0, cjets: 2.0}}\n")
    argv = [f"--data.class_file={path}", f"{JETS}.class_weights=file"]
    arguments = (make_outputs()["jet_class"], *make_batch())
    (found,) = task_of(tiny_with(*argv), "jet_class").terms(*arguments)
    (expected,) = task_of(
        tiny_with(f"{JETS}.class_weights={{cjets: 2, ujets: 3}}"), "jet_class"
    ).terms(*arguments)
    np.testing.assert_allclose(found, expected)
    with pytest.raises(InputError, match=r"`data\.class_file` must be given"):
        task_of(tiny_with(argv[1]), "jet_class")
