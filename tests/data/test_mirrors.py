"""Mirrored jets: which are turned round, in which fields, and whether such jets are as likely."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax import config as configuration
from maskformer_jax.data import TrainLoader, fit_scaling
from maskformer_jax.data.config import TransformConfig
from maskformer_jax.data.schema import Targets
from maskformer_jax.errors import InputError

ROOT = Path(__file__).parents[2]
TURNED = {"eta": {"jets": ["eta"], "tracks": ["qOverP"], "hadrons": ["pt"]}}


def epoch_of(file, seed=0):
    """Two epochs in batches of 10."""
    loader = TrainLoader(file, fit_scaling(file), batch_size=10, seed=seed)
    iterator = loader.iterator()
    return [next(iterator) for _ in range(2 * loader.steps_per_epoch)]


def test_half_of_the_jets_are_turned_round_and_all_of_their_fields_at_once(opened, tables, schema):
    targets = Targets("hadrons", {"pt": TransformConfig("asinh", 1000.0)})
    schema = schema._replace(labels=schema.labels | {"properties": targets})
    plain = epoch_of(opened(tables, schema))
    file = opened(tables, schema._replace(mirrors=TURNED))
    scaling = fit_scaling(file)

    def unscaled(part, values, column):
        return np.asarray(values)[..., column] * part.std[column] + part.mean[column]

    turned = []
    for (before, labels), (after, labels_after) in zip(plain, epoch_of(file), strict=True):
        eta, found = (unscaled(scaling.jets, x.jets, 1) for x in (before, after))
        signs = np.sign(found / eta)
        np.testing.assert_allclose(found, signs * eta, atol=1e-5)
        np.testing.assert_array_equal(before.jets[:, 0], after.jets[:, 0])
        one, two = before.streams["tracks"], after.streams["tracks"]
        charge, found = (unscaled(scaling.streams["tracks"], x.values, 1) for x in (one, two))
        np.testing.assert_allclose(
            found[one.valid], (signs[:, None] * charge)[one.valid], atol=1e-4
        )
        for other in (0, 2):
            np.testing.assert_array_equal(one.values[..., other], two.values[..., other])
        part, real = scaling.targets["properties"], labels["hadrons"].valid
        size, found = (unscaled(part, x["properties"], 0) for x in (labels, labels_after))
        np.testing.assert_allclose(found[real], (signs[:, None] * size)[real], atol=1e-4)
        np.testing.assert_array_equal(labels["flavour"], labels_after["flavour"])
        turned.append(signs < 0)
    assert 0.3 < np.mean(turned) < 0.7
    for one, two in zip(epoch_of(file), epoch_of(file), strict=True):
        np.testing.assert_array_equal(one[0].jets, two[0].jets)


@pytest.mark.parametrize(
    "places,words",
    [
        ({"tracks": ["qOverp"]}, r"data.mirrors.m.tracks.*'qOverp'; did you mean `qOverP`"),
        ({"hadrons": ["pt"]}, r"`data.mirrors.m.hadrons`: `pt` enters as a logarithm"),
        ({"tracks": ["valid"]}, r"`data.mirrors.m.tracks`: `valid` has no sign; its type is bool"),
    ],
)
def test_a_field_that_can_not_change_sign_is_one_line(opened, tables, schema, places, words):
    file = opened(tables, schema._replace(mirrors={"m": places}))
    with pytest.raises(InputError, match=words):
        TrainLoader(file, fit_scaling(file), batch_size=10, seed=0)


def z_of(values):
    """Mean in units of its error."""
    return values.mean() / (values.std() / len(values) ** 0.5)


@pytest.mark.parametrize("mirror", ["along", "across"])
def test_mirrored_jets_of_the_sample_are_as_likely(mirror):
    """What changes sign has mean zero, alone and times what does not; but not times its like."""
    config = configuration.load(
        [f"--config={ROOT / 'configs' / name}" for name in ("quickstart.yaml", "mirrors.yaml")]
    )
    fields = config.data.mirrors[mirror]["tracks"]
    with h5py.File(ROOT / "data/sample/train.h5") as file:
        tracks = file["tracks"][:]
    tracks = tracks[tracks["valid"]]
    of = {name: tracks[name].astype(np.float64) for name in config.data.streams["tracks"].inputs}
    of = {name: np.clip(x, *np.quantile(x, [0.001, 0.999])) for name, x in of.items()}
    even = [np.ones(len(tracks)), *(of[name] for name in of if name not in fields)]
    for name in fields:
        for other in even:
            assert abs(z_of(of[name] * other)) < 5, name
    signs = [abs(z_of(of[a] * of[b])) for a in fields for b in fields if a < b]
    assert max(signs) > 10
