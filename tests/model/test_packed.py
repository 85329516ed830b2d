"""Jets that share a row give what each of them gives alone: three streams, all kinds of tasks."""

import jax
import made_up_config
import numpy as np
import pytest
from network_gradients import gradients_of

from maskformer_jax.build import build

JETS = 10
# Row, seat -> jet. Jet 0 has no constituent, jet 5 no track, jet 3 no electron, jet 4 no flow.
SEATS = {
    "in order": [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, -1, -1]],
    "an empty row, the order turned round": [[9, 8, 7], [-1, -1, -1], [6, 5, 4], [3, 2, 1]],
    "empty seats first": [[-1, 0, -1], [-1, 3, 9], [4, 7, 2], [-1, -1, 8]],
}
# Widths of a row, pairs of a group and groups.
ALONE = ({"tracks": 4, "electrons": 2, "flow": 4}, {"tracks": 6}, JETS)
TOGETHER = ({"tracks": 11, "electrons": 5, "flow": 9}, {"tracks": 20}, 2)
NO_OBJECTS = ("--without=[hadrons, mass]", "--tasks.jet_class.pool_queries=null")
NO_ENCODER = (
    "--model.encoder.layers=0",
    "--model.encoder.registers=0",
    "--model.encoder.pairs={tracks: [], flow: []}",
    *NO_OBJECTS,
)
ONE_LAYER = ("--model.encoder.layers=1",)
DECODER = "--tasks.hadrons.decoder"
NETWORKS = {
    "registers, gates and post-norm": ONE_LAYER,
    "registers that are dropped, dummies and norms behind the layers": (
        *ONE_LAYER,
        "--model.encoder.pool_registers=false",
        *(f"{DECODER}.dummy=true", f"{DECODER}.norms=behind", f"{DECODER}.scale_masks=false"),
        *(f"{DECODER}.mask_threshold=0.9", f"{DECODER}.head_widths.mask=[5]"),
    ),
    "narrow output and their mean": (
        *ONE_LAYER,
        "--model.encoder.output_dim=6",
        "--model.pooling.name=mean",
        "--model.encoder.output_norm=after",
        *NO_OBJECTS,
    ),
    "sum without an encoder": (
        "--model.pooling.name=sum",
        "--model.jet_inputs=pooled",
        *NO_ENCODER,
    ),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return folder, made_up_config.write(folder)


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, file):
    """Model, its gradients, and `both(seats)`: the jets at seats, alone and together."""
    folder, path = file
    model = build(made_up_config.load(folder, *NETWORKS[request.param]))

    def both(seats):
        seats = np.array(seats)
        alone = np.arange(JETS)[:, None]
        alone = np.where(np.isin(alone, seats), alone, -1)
        return made_up_config.batches(path, model.schema, (alone, seats), (ALONE, TOGETHER))

    return model, gradients_of(model), both


def check_padding(found, batch):
    """Nothing of padding has a gradient."""
    assert not np.asarray(found.batch["jets"])[:, ~batch.jet_valid].any()
    for name, stream in batch.streams.items():
        real = np.asarray(stream.jets_of_rows()).any(1)
        assert not np.asarray(found.batch[name])[:, ~real].any()


@pytest.mark.parametrize("seats", SEATS)
def test_losses_and_their_gradients_are_those_of_the_padded_batch(network, seats):
    model, gradients, both = network
    pairs = both(SEATS[seats])
    assert pairs[0][0].jet_valid.sum() == pairs[1][0].jet_valid.sum()
    alone, together = (gradients(model.params, *pair) for pair in pairs)
    assert np.all(alone.losses != 0)
    np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-5)
    pairs_of_leaves = zip(
        jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True
    )
    for found, expected in pairs_of_leaves:
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1))
    for found, (batch, _) in zip((alone, together), pairs, strict=True):
        check_padding(found, batch)


@pytest.mark.parametrize("network", ["registers, gates and post-norm"], indirect=True)
def test_nothing_passes_from_one_jet_to_another_in_its_row(network):
    """The gradient of the losses of one jet with respect to all others is zero."""
    model, gradients, both = network
    _, (batch, labels) = both(SEATS["in order"])
    one = np.arange(12) == 7
    alone = {
        name: np.full_like(x, -1)
        for name, x in labels.items()
        if name in ("origin", "electron_kind")
    }
    alone["flavour"] = np.where(one, labels["flavour"], -1)
    alone["jet_weight"] = np.where(one, labels["jet_weight"], 0.0)
    alone["mass"] = np.where(one[:, None], labels["mass"], np.nan)
    found = gradients(model.params, batch, {**labels, **alone})
    for name in (
        "jet_class",
        "mass",
        "vertexing",
        "object_class",
        "mask_ce",
        "mask_dice",
        "regression",
    ):
        row = model.losses.index(name)
        assert not np.asarray(found.batch["jets"])[row][~one].any(), name
        for stream in batch.streams:
            own = batch.streams[stream].jets_of_rows()[2, 1]
            of_row = np.asarray(found.batch[stream])[row]
            assert not of_row[[0, 1, 3]].any() and not of_row[2][~own].any(), (name, stream)
    assert np.asarray(found.batch["jets"])[0][one].any()


def test_a_network_of_jets_alone(file):
    folder, path = file
    # Without constituents there is no encoder, whatever its widths.
    override = "--model.encoder.output_dim=2"
    config = made_up_config.load(folder, override, text=made_up_config.JETS_ALONE)
    model = build(config)
    seats = np.array([[3], [-1], [1]])
    ((batch, labels),) = made_up_config.batches(path, model.schema, [seats], [({},)])
    assert batch.streams == {} and set(model.params) == {"embedding", "heads"}
    outputs = jax.jit(model.apply)(model.params, batch)
    assert outputs["jet_class"].shape == (3, 2)
    found = gradients_of(model)(model.params, batch, labels)
    assert all(np.asarray(x).any() for x in jax.tree.leaves(found.params))
    assert not np.asarray(found.batch["jets"])[:, 1].any()
