"""Jets that share a row of tracks give what each of them gives alone."""

import jax
import numpy as np
import pytest

from maskformer_jax.data import Samples, assemble

WIDTH = 11
# Jets of 7, 1, 0 and 4 tracks and a padding jet, in rows of three seats.
SEATS = {
    "two rows": [[0, 3, -1], [1, 2, 4]],
    "an empty row, the order turned round": [[4, 3, 0], [-1, -1, -1], [2, 1, -1]],
    "empty seats first": [[-1, 0, -1], [-1, -1, 3], [-1, 1, 2]],
}


@pytest.fixture(scope="module")
def padded(make_batch):
    return jax.tree.map(np.asarray, make_batch())


@pytest.fixture(scope="module", params=SEATS)
def packed(request, padded):
    """Seats, and the same jets in them."""
    batch, targets = padded
    seats = np.array(SEATS[request.param])

    def per_jet(array, padding):
        return np.append(array, np.full_like(array[:1], padding), 0)

    def per_track(array, padding):
        return per_jet(array[batch.valid], padding)

    samples = Samples(
        counts=np.append(batch.valid.sum(1), 0),
        jets=per_jet(batch.jets, 0),
        tracks=per_track(batch.tracks, 0),
        jet_class_index=per_jet(targets.jet_class_index, -1),
        origin_index=per_track(targets.origin_index, -1),
        object_class_index=per_jet(targets.object_class_index, 2),
        object_valid=per_jet(targets.object_valid, False),
        masks=per_track(targets.masks.swapaxes(1, 2), False).T,
        regression=per_jet(targets.regression, 0),
    )
    batch, targets = assemble(samples, seats, WIDTH)
    real = np.isin(seats.ravel(), np.flatnonzero(padded[0].jet_valid))
    return seats, (batch._replace(jet_valid=real), targets)


def test_losses_and_their_gradients_are_those_of_the_padded_batch(tiny, padded, packed):
    alone, together = (tiny.gradients(tiny.params, *pair) for pair in (padded, packed[1]))
    np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-5)
    for found, expected in zip(
        jax.tree.leaves(together.params), jax.tree.leaves(alone.params), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(np.abs(expected).max(), 1))


def test_predictions_are_those_of_the_padded_batch(tiny, padded, packed):
    seats, (batch, _) = packed
    alone, together = tiny.apply(tiny.params, padded[0]), tiny.apply(tiny.params, batch)
    for row, seat in np.argwhere((seats >= 0) & (seats < 4)):
        jet, b = seats[row, seat], seats.shape[1] * row + seat
        before, after = padded[0].valid[jet], batch.valid[b]
        pairs = [
            (together.jet_class_logits[b], alone.jet_class_logits[jet]),
            (together.origin_logits[row][after], alone.origin_logits[jet][before]),
            (together.objects.class_logits[b], alone.objects.class_logits[jet]),
            (together.objects.regression[b], alone.objects.regression[jet]),
            (
                together.objects.mask_logits[b][:, after],
                alone.objects.mask_logits[jet][:, before],
            ),
        ]
        for found, expected in pairs:
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nothing_passes_from_one_jet_to_another_in_its_row(tiny, packed):
    """The gradient of one task of one jet with respect to the tracks of all others is zero."""
    _, (batch, targets) = packed
    jet = int(np.flatnonzero(batch.valid.sum(1) == 7)[0])
    alone = targets._replace(
        jet_class_index=np.where(np.arange(len(batch.jets)) == jet, targets.jet_class_index, -1),
        object_valid=targets.object_valid & (np.arange(len(batch.jets)) == jet)[:, None],
        origin_index=np.full_like(targets.origin_index, -1),
    )
    found = np.asarray(tiny.gradients(tiny.params, batch, alone).tracks)
    own = np.zeros(batch.tracks.shape[:2], bool)
    own[jet // (len(batch.jets) // len(batch.tracks))] = batch.valid[jet]
    for task in (0, 3, 4, 5):
        assert found[task][own].any() and not found[task][~own].any()
