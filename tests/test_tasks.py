"""The six losses against a float64 reference in loops, and what must leave them unchanged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from maskformer_jax.matching import assign
from maskformer_jax.tasks import (
    TASK_NAMES,
    LossSums,
    build_losses,
    build_match,
    reorder,
)

OBJECT_TASKS = slice(2, 6)
CLASS_WEIGHTS = {
    "jet_class": np.array([1.0, 3.0, 0.5], np.float32),
    "track_origin": np.linspace(1, 4, 8, dtype=np.float32),
    "object_class": np.array([2.0, 1.5, 0.25], np.float32),
}
VARIANTS = {
    "default": {},
    "per valid track": {"mask_normalisation": "valid"},
    "poly": {"poly_epsilon": -0.5},
    "focal": {"focal_gamma": 2.0},
    "none as any class": {"none_weight": 1.0},
    "class weights": {"class_weights": list(CLASS_WEIGHTS)},
}


class Reference:
    """The definitions of the losses, one jet, one track, one object at a time, in float64."""

    def __init__(self, config, outputs, batch, targets):
        self.config = config
        self.weighted = config.loss.class_weights
        self.outputs, self.batch, self.targets = (
            jax.tree.map(np.asarray, tree) for tree in (outputs, batch, targets)
        )

    def class_weight(self, task, index):
        return float(CLASS_WEIGHTS[task][index]) if task in self.weighted else 1.0

    def mask_ce(self, jet, query, m):
        loss, valid = self.config.loss, self.batch.valid[jet]
        total = 0.0
        for track in np.flatnonzero(valid):
            logit = float(self.objects.mask_logits[jet, query, track])
            p = 1 / (1 + np.exp(-logit))
            p_t = p if self.targets.masks[jet, m, track] else 1 - p
            total += -((1 - p_t) ** loss.focal_gamma) * np.log(p_t)
            total += loss.poly_epsilon * (1 - p_t)
        by_cap = loss.mask_normalisation == "cap"
        return total / (self.config.data.tracks.cap if by_cap else max(valid.sum(), 1))

    def mask_dice(self, jet, query, m):
        valid = self.batch.valid[jet]
        p = 1 / (1 + np.exp(-self.objects.mask_logits[jet, query, valid].astype(np.float64)))
        y = self.targets.masks[jet, m, valid].astype(np.float64)
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    def object_class(self, jet, query, m):
        logits = self.objects.class_logits[jet, query].astype(np.float64)
        return -log_softmax(logits)[self.targets.object_class_index[jet, m]]

    def regression(self, jet, query, m):
        difference = self.objects.regression[jet, query] - self.targets.regression[jet, m]
        return np.abs(difference.astype(np.float64)).mean()

    def assignment(self, jet):
        """Query of each hadron of a jet, and the queries that no hadron gets."""
        weight = self.config.matching
        hadrons = np.flatnonzero(self.targets.object_valid[jet])
        queries = range(self.objects.mask_logits.shape[1])
        cost = np.zeros((len(queries), len(hadrons)))
        for q in queries:
            for column, m in enumerate(hadrons):
                for name in TASK_NAMES[OBJECT_TASKS]:
                    cost[q, column] += getattr(weight, name) * getattr(self, name)(jet, q, m)
        rows, columns = linear_sum_assignment(cost)
        pairs = list(zip(rows.tolist(), hadrons[columns].tolist(), strict=True))
        return pairs, [q for q in queries if q not in rows]

    def object_sums(self, objects):
        self.objects = objects
        terms = {name: [] for name in TASK_NAMES[OBJECT_TASKS]}
        none = len(self.config.data.hadrons.classes)
        for jet in np.flatnonzero(self.batch.jet_valid):
            pairs, left = self.assignment(jet)
            for q, m in pairs:
                weight = self.class_weight("object_class", self.targets.object_class_index[jet, m])
                terms["object_class"].append((self.object_class(jet, q, m), weight))
                for name in TASK_NAMES[OBJECT_TASKS][1:]:
                    terms[name].append((getattr(self, name)(jet, q, m), 1.0))
            for q in left:
                logits = objects.class_logits[jet, q].astype(np.float64)
                weight = self.config.loss.none_weight * self.class_weight("object_class", none)
                terms["object_class"].append((-log_softmax(logits)[none], weight))
        return list(terms.values())

    def classification(self, task, logits, index, counted):
        logits, terms = log_softmax(logits.astype(np.float64), axis=-1), []
        for where in np.argwhere(counted & (index >= 0)):
            true = index[tuple(where)]
            terms.append((-logits[(*where, true)], self.class_weight(task, true)))
        return terms

    def sums(self):
        """Sum of weighted terms and of weights, [K] each."""
        out, truth = self.outputs, self.targets
        terms = [
            self.classification(
                "jet_class", out.jet_class_logits, truth.jet_class_index, self.batch.jet_valid
            ),
            self.classification(
                "track_origin", out.origin_logits, truth.origin_index, self.batch.valid
            ),
            *self.object_sums(out.objects),
        ]
        total = np.array([sum(value * weight for value, weight in task) for task in terms])
        count = np.array([sum(weight for _, weight in task) for task in terms])
        for objects in out.intermediate:
            added = self.object_sums(objects)
            total[OBJECT_TASKS] += [sum(v * weight for v, weight in task) for task in added]
        return total, count


def jitted(config):
    weights = CLASS_WEIGHTS if config.loss.class_weights else None
    return jax.jit(build_losses(config, weights))


@pytest.fixture(scope="session")
def loss_sums(tiny_config):
    return jitted(tiny_config)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", VARIANTS.values(), ids=VARIANTS)
def test_losses_are_those_of_the_reference(
    loss, tiny_config, with_options, make_batch, make_outputs
):
    config = with_options(tiny_config, data={"class_file": "given"}, loss=loss)
    compute = jitted(config)
    for seed in range(3):
        batch, targets = make_batch(seed)
        outputs = make_outputs(seed)
        found = compute(outputs, batch, targets)
        total, count = Reference(config, outputs, batch, targets).sums()
        close(found.total, total)
        close(found.count, count)
        close(found.mean(), total / count)


def test_intermediate_layers_add_their_object_losses(tiny_config, make_batch, make_outputs):
    batch, targets = make_batch()
    outputs = make_outputs(layers=2)
    found = jitted(tiny_config)(outputs, batch, targets)
    total, count = Reference(tiny_config, outputs, batch, targets).sums()
    close(found.total, total)
    close(found.count, count)


def test_unlabelled_jet_counts_in_the_other_tasks_alone(
    tiny_config, loss_sums, make_batch, make_outputs
):
    batch, targets = make_batch()
    targets = targets._replace(jet_class_index=targets.jet_class_index.at[1].set(-1))
    outputs = make_outputs()
    found = loss_sums(outputs, batch, targets)
    total, count = Reference(tiny_config, outputs, batch, targets).sums()
    assert count[0] == 3
    close(found.total, total)
    close(found.count, count)


def test_order_of_the_tasks():
    assert TASK_NAMES == (
        "jet_class",
        "track_origin",
        "object_class",
        "mask_ce",
        "mask_dice",
        "regression",
    )
    assert TASK_NAMES[OBJECT_TASKS] == ("object_class", "mask_ce", "mask_dice", "regression")


def without_hadrons(targets):
    return targets._replace(
        object_class_index=jnp.full_like(targets.object_class_index, 2),
        object_valid=jnp.zeros_like(targets.object_valid),
        masks=jnp.zeros_like(targets.masks),
    )


def test_batch_without_hadrons_gives_zeros_and_finite_gradients(
    loss_sums, make_batch, make_outputs
):
    batch, targets = make_batch()
    targets, outputs = without_hadrons(targets), make_outputs()
    losses = loss_sums(outputs, batch, targets).mean()
    assert (losses[3:] == 0).all() and (losses[:3] > 0).all()
    gradient = jax.jit(jax.jacrev(lambda o: loss_sums(o, batch, targets).mean()))(outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert not gradient.objects.mask_logits.any() and not gradient.objects.regression[3:].any()
    assert gradient.objects.class_logits[2].any()


def test_batch_of_padding_alone_gives_zeros(loss_sums, make_batch, make_outputs):
    batch, targets = make_batch()
    batch = batch._replace(
        valid=jnp.zeros_like(batch.valid), jet_valid=jnp.zeros_like(batch.jet_valid)
    )
    found = loss_sums(make_outputs(), batch, without_hadrons(targets))
    assert not found.total.any() and not found.count.any() and not found.mean().any()


def test_parts_of_a_batch_add_up_to_the_whole(loss_sums, make_batch, make_outputs):
    batch, targets = make_batch()
    outputs = make_outputs()

    def only(jets):
        chosen = jnp.isin(jnp.arange(5), jnp.asarray(jets))
        return loss_sums(
            outputs,
            batch._replace(jet_valid=batch.jet_valid & chosen, valid=batch.valid & chosen[:, None]),
            targets._replace(object_valid=targets.object_valid & chosen[:, None]),
        )

    whole, first, second = only(range(5)), only([0, 3]), only([1, 2, 4])
    added = LossSums(first.total + second.total, first.count + second.count)
    close(added.total, whole.total)
    close(added.count, whole.count)
    close(added.mean(), whole.mean())


def test_padding_and_unlabelled_entries_may_hold_anything(loss_sums, make_batch, make_outputs):
    """Predictions there are replaced by infinities and NaN; not one bit of the losses changes."""
    batch, targets = make_batch()
    outputs = make_outputs()
    labelled = batch.valid & (targets.origin_index >= 0)

    def spoil(x, keep, value):
        return jnp.where(keep.reshape(keep.shape + (1,) * (x.ndim - keep.ndim)), x, value)

    objects = outputs.objects
    spoilt = outputs._replace(
        jet_class_logits=spoil(outputs.jet_class_logits, batch.jet_valid, jnp.inf),
        origin_logits=spoil(outputs.origin_logits, labelled, jnp.nan),
        objects=objects._replace(
            class_logits=spoil(objects.class_logits, batch.jet_valid, jnp.nan),
            mask_logits=jnp.where(batch.valid[:, None], objects.mask_logits, jnp.nan),
            regression=spoil(objects.regression, batch.jet_valid, jnp.nan),
        ),
    )
    expected, found = loss_sums(outputs, batch, targets), loss_sums(spoilt, batch, targets)
    np.testing.assert_array_equal(found.total, expected.total)
    np.testing.assert_array_equal(found.count, expected.count)


def test_nan_prediction_of_a_real_object_reaches_its_loss(loss_sums, make_batch, make_outputs):
    batch, targets = make_batch()
    outputs = make_outputs()
    regression = outputs.objects.regression.at[0].set(jnp.nan)
    spoilt = outputs._replace(objects=outputs.objects._replace(regression=regression))
    losses = np.asarray(loss_sums(spoilt, batch, targets).mean())
    np.testing.assert_array_equal(np.isnan(losses), np.arange(6) == 5)


def test_order_of_queries_and_of_hadrons_does_not_matter(loss_sums, make_batch, make_outputs):
    batch, targets = make_batch()
    outputs = make_outputs()
    queries, objects = np.array([2, 0, 1]), np.array([1, 2, 0])
    moved = outputs._replace(objects=jax.tree.map(lambda x: x[:, queries], outputs.objects))
    truth = targets._replace(
        object_class_index=targets.object_class_index[:, objects],
        object_valid=targets.object_valid[:, objects],
        masks=targets.masks[:, objects],
        regression=targets.regression[:, objects],
    )
    expected = loss_sums(outputs, batch, targets)
    close(loss_sums(moved, batch, targets).total, expected.total)
    close(loss_sums(outputs, batch, truth).total, expected.total)


def test_every_object_has_a_query_of_its_own(tiny_config, make_batch, make_outputs):
    batch, targets = make_batch()
    match = jax.jit(build_match(tiny_config))
    for seed in range(5):
        query_index = np.asarray(match(make_outputs(seed).objects, batch, targets))
        np.testing.assert_array_equal(np.sort(query_index), np.tile(np.arange(3), (5, 1)))


def test_assignment_knows_nothing_of_the_weights_of_the_losses(
    tiny_config, with_options, make_batch, make_outputs
):
    """Neither the weights of the tasks nor of the classes move it; its own weights do."""

    def queries(config):
        match = jax.jit(build_match(config))
        found = [match(make_outputs(s).objects, *make_batch(s))[0] for s in range(20)]
        return np.asarray(found)

    expected = queries(tiny_config)
    weighting = {"name": "static", "options": {"weights": [0.0, 0.0, 1e3, 0.0, 0.0, 1.0]}}
    loss = {"none_weight": 40.0, "auxiliary": True}
    others = with_options(tiny_config, weighting=weighting, loss=loss)
    np.testing.assert_array_equal(queries(others), expected)
    for name in TASK_NAMES[OBJECT_TASKS]:
        changed = with_options(tiny_config, matching={name: 300.0})
        assert (queries(changed) != expected).any(), name


def test_reorder_takes_each_objects_query(make_outputs):
    objects = make_outputs().objects
    index = assign(jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 3)), jnp.float32))
    found = reorder(objects, index)
    for field, before, after in zip(objects._fields, objects, found, strict=True):
        for jet in range(5):
            expected = before[jet, np.asarray(index[jet])]
            np.testing.assert_array_equal(after[jet], expected, err_msg=field)
