"""The losses of a MaskFormer against a float64 reference in loops, and what leaves them alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from maskformer_jax.build import build, build_tasks, context_of
from maskformer_jax.gradients import LossSums, stacked
from maskformer_jax.tasks.matching import assign, reorder
from maskformer_jax.tasks.objects import ObjectsTask
from maskformer_jax.tasks.task import losses_of

OBJECTS = ("object_class", "mask_ce", "mask_dice", "regression")
LOSSES = ("jet_class", "track_origin", *OBJECTS)
CLASS_WEIGHTS = {
    "jet_class": np.array([1.0, 3.0, 0.5], np.float32),
    "track_origin": np.linspace(1, 4, 8, dtype=np.float32),
    "object_class": np.array([2.0, 1.5, 0.25], np.float32),
}
HADRONS = "--tasks.hadrons.losses"
CLASSES = {
    "jet_class": ("--tasks.jet_class", ("bjets", "cjets", "ujets")),
    "track_origin": (
        "--tasks.track_origin",
        ("pileup", "fake", "primary", "fromB", "fromBC", "fromC", "fromTau", "otherSecondary"),
    ),
    "object_class": (f"{HADRONS}.object_class", ("b", "c", "none")),
}
BY_CLASS = [
    f"{path}.class_weights="
    + yaml.safe_dump(
        dict(zip(names, CLASS_WEIGHTS[task].tolist(), strict=True)), default_flow_style=True
    ).strip()
    for task, (path, names) in CLASSES.items()
]
WEIGHT = "--tasks.hadrons.sample_weight=weight"
VARIANTS = {
    "default": [],
    "per valid track": [f"{HADRONS}.mask_ce.normalisation=valid"],
    "poly": [f"{HADRONS}.mask_ce.poly_epsilon=-0.5"],
    "focal": [f"{HADRONS}.mask_ce.focal_gamma=2"],
    "none as any class": [f"{HADRONS}.object_class.none_weight=1"],
    "class weights": BY_CLASS,
    "without masks": ["--without=[mask_ce, mask_dice]"],
    "masks alone": ["--without=[object_class, regression]"],
    "more queries than hadrons": ["--tasks.hadrons.queries=4"],
    "weights of jets": ["--data.labels.weight={of: jets, field: w}", WEIGHT],
    "weights of hadrons": [
        *("--data.labels.weight={of: hadrons, field: w}", WEIGHT, "--tasks.hadrons.queries=4"),
    ],
}


class Reference:
    """The definitions of the losses, one jet, one track, one object at a time, in float64."""

    def __init__(self, config, outputs, batch, labels):
        self.task = config.tasks["hadrons"].without([x for x in OBJECTS if x in config.without])
        self.weighted = config.tasks["jet_class"].class_weights
        self.kinds = tuple(self.task.loss_names())
        self.cap = config.data.streams["tracks"].cap
        self.outputs, self.batch, self.labels = (
            jax.tree.map(np.asarray, tree) for tree in (outputs, batch, labels)
        )
        self.valid = self.batch.streams["tracks"].valid
        self.real, self.masks = self.labels["hadrons"]

    def class_weight(self, task, index):
        return float(CLASS_WEIGHTS[task][index]) if self.weighted else 1.0

    def mask_ce(self, jet, query, m):
        loss, valid = self.task.losses.mask_ce, self.valid[jet]
        total = 0.0
        for track in np.flatnonzero(valid):
            logit = float(self.objects.mask_logits[jet, query, track])
            p = 1 / (1 + np.exp(-logit))
            p_t = p if self.masks[jet, m, track] else 1 - p
            total += -((1 - p_t) ** loss.focal_gamma) * np.log(p_t)
            total += loss.poly_epsilon * (1 - p_t)
        return total / (self.cap if loss.normalisation == "cap" else max(valid.sum(), 1))

    def mask_dice(self, jet, query, m):
        valid = self.valid[jet]
        p = 1 / (1 + np.exp(-self.objects.mask_logits[jet, query, valid].astype(np.float64)))
        y = self.masks[jet, m, valid].astype(np.float64)
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    def object_class(self, jet, query, m):
        logits = self.objects.class_logits[jet, query].astype(np.float64)
        return -log_softmax(logits)[self.labels["hadron_class"][jet, m]]

    def regression(self, jet, query, m):
        difference = self.objects.regression[jet, query] - self.labels["hadrons.regression"][jet, m]
        return np.abs(difference.astype(np.float64)).mean()

    def assignment(self, jet):
        """Query of each hadron of a jet, and the queries that no hadron gets."""
        weight = self.task.matching
        hadrons = np.flatnonzero(self.real[jet])
        queries = range(self.objects.mask_logits.shape[1])
        cost = np.zeros((len(queries), len(hadrons)))
        for q in queries:
            for column, m in enumerate(hadrons):
                for name in self.kinds:
                    cost[q, column] += getattr(weight, name) * getattr(self, name)(jet, q, m)
        rows, columns = linear_sum_assignment(cost)
        pairs = list(zip(rows.tolist(), hadrons[columns].tolist(), strict=True))
        return pairs, [q for q in queries if q not in rows]

    def object_sums(self, objects):
        self.objects = objects
        terms = {name: [] for name in self.kinds}
        none = objects.class_logits.shape[-1] - 1
        for jet in np.flatnonzero(self.batch.jet_valid):
            pairs, left = self.assignment(jet)
            for q, m in pairs:
                index = self.labels["hadron_class"][jet, m]
                for name in self.kinds:
                    weight = self.sample(jet, m)
                    if name == "object_class":
                        weight *= self.class_weight("object_class", index)
                    terms[name].append((getattr(self, name)(jet, q, m), weight))
            for q in left if "object_class" in self.kinds else ():
                logits = objects.class_logits[jet, q].astype(np.float64)
                weight = self.task.losses.object_class.none_weight * self.sample(jet)
                weight *= self.class_weight("object_class", none)
                terms["object_class"].append((-log_softmax(logits)[none], weight))
        return list(terms.values())

    def sample(self, jet, m=None):
        """Weight of a jet or of one of its hadrons; no hadron has none of its own."""
        if self.task.sample_weight is None:
            return 1.0
        weight = self.labels["weight"][jet]
        return float(weight) if weight.ndim == 0 else 1.0 if m is None else float(weight[m])

    def classification(self, task, logits, index, counted):
        logits, terms = log_softmax(logits.astype(np.float64), axis=-1), []
        for where in np.argwhere(counted & (index >= 0)):
            true = index[tuple(where)]
            terms.append((-logits[(*where, true)], self.class_weight(task, true)))
        return terms

    def sums(self):
        """Sum of weighted terms and of weights, [K] each."""
        out, labels = self.outputs, self.labels
        terms = [
            self.classification(
                "jet_class", out["jet_class"], labels["flavour"], self.batch.jet_valid
            ),
            self.classification("track_origin", out["track_origin"], labels["origin"], self.valid),
            *self.object_sums(out["hadrons"].objects),
        ]
        total = np.array([sum(value * weight for value, weight in task) for task in terms])
        count = np.array([sum(weight for _, weight in task) for task in terms])
        for objects in out["hadrons"].intermediate:
            added = self.object_sums(objects)
            total[2:] += [sum(v * weight for v, weight in task) for task in added]
        return total, count


def jitted(config):
    tasks = build_tasks(config)
    return jax.jit(lambda *arguments: stacked(losses_of(tasks)(*arguments)))


def matcher(config):
    task = ObjectsTask("hadrons", config.tasks["hadrons"], context_of(config))
    return jax.jit(task.match)


@pytest.fixture(scope="module")
def loss_sums(tiny_config):
    return jitted(tiny_config)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("loss", VARIANTS.values(), ids=VARIANTS)
def test_losses_are_those_of_the_reference(loss, tiny_with, make_batch, make_outputs):
    config = tiny_with(*loss)
    compute = jitted(config)
    for seed in range(3):
        batch, labels = make_batch(seed)
        outputs = make_outputs(seed, queries=config.tasks["hadrons"].queries)
        if "weight" in config.data.labels:
            shape = (5,) if config.data.labels["weight"].of == "jets" else (5, 3)
            weight = np.random.default_rng(seed).uniform(0.1, 3, shape)
            labels = {**labels, "weight": jnp.asarray(weight, jnp.float32)}
        found = compute(outputs, batch, labels)
        total, count = Reference(config, outputs, batch, labels).sums()
        close(found.total, total)
        close(found.count, count)
        close(found.mean(), total / count)


def test_intermediate_layers_add_their_object_losses(tiny_config, make_batch, make_outputs):
    batch, labels = make_batch()
    outputs = make_outputs(layers=2)
    found = jitted(tiny_config)(outputs, batch, labels)
    total, count = Reference(tiny_config, outputs, batch, labels).sums()
    close(found.total, total)
    close(found.count, count)


def test_unlabelled_jet_counts_in_the_other_tasks_alone(
    tiny_config, loss_sums, make_batch, make_outputs
):
    batch, labels = make_batch()
    labels = {**labels, "flavour": labels["flavour"].at[1].set(-1)}
    outputs = make_outputs()
    found = loss_sums(outputs, batch, labels)
    total, count = Reference(tiny_config, outputs, batch, labels).sums()
    assert count[0] == 3
    close(found.total, total)
    close(found.count, count)


def test_order_of_the_losses_is_that_of_the_configuration(tiny_config):
    assert build(tiny_config).losses == LOSSES


def without_hadrons(labels):
    none = jax.tree.map(jnp.zeros_like, labels["hadrons"])
    return {**labels, "hadrons": none, "hadron_class": jnp.full_like(labels["hadron_class"], 2)}


def test_batch_without_hadrons_gives_zeros_and_finite_gradients(
    loss_sums, make_batch, make_outputs
):
    batch, labels = make_batch()
    labels, outputs = without_hadrons(labels), make_outputs()
    losses = loss_sums(outputs, batch, labels).mean()
    assert (losses[3:] == 0).all() and (losses[:3] > 0).all()
    gradient = jax.jit(jax.jacrev(lambda o: loss_sums(o, batch, labels).mean()))(outputs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    objects = gradient["hadrons"].objects
    assert not objects.mask_logits.any() and not objects.regression.any()
    assert objects.class_logits[2].any()


def only(batch, labels, jets):
    """The batch with the other jets turned into padding."""
    chosen = jnp.isin(jnp.arange(5), jnp.asarray(jets, int))
    tracks = batch.streams["tracks"]
    tracks = tracks._replace(valid=tracks.valid & chosen[:, None])
    objects = labels["hadrons"]
    objects = objects._replace(valid=objects.valid & chosen[:, None])
    batch = batch._replace(jet_valid=batch.jet_valid & chosen, streams={"tracks": tracks})
    return batch, {**labels, "hadrons": objects}


def test_batch_of_padding_alone_gives_zeros(loss_sums, make_batch, make_outputs):
    found = loss_sums(make_outputs(), *only(*make_batch(), []))
    assert not found.total.any() and not found.count.any() and not found.mean().any()


def test_parts_of_a_batch_add_up_to_the_whole(loss_sums, make_batch, make_outputs):
    pair, outputs = make_batch(), make_outputs()
    whole, first, second = (
        loss_sums(outputs, *only(*pair, jets)) for jets in (range(5), [0, 3], [1, 2, 4])
    )
    added = LossSums(first.total + second.total, first.count + second.count)
    close(added.total, whole.total)
    close(added.count, whole.count)
    close(added.mean(), whole.mean())


def test_padding_and_unlabelled_entries_may_hold_anything(loss_sums, make_batch, make_outputs):
    """Predictions there are replaced by infinities and NaN; not one bit of the losses changes."""
    batch, labels = make_batch()
    outputs, valid = make_outputs(), batch.streams["tracks"].valid
    objects = outputs["hadrons"].objects

    def spoil(x, keep, value):
        return jnp.where(keep.reshape(keep.shape + (1,) * (x.ndim - keep.ndim)), x, value)

    spoilt = {
        "jet_class": spoil(outputs["jet_class"], batch.jet_valid, jnp.inf),
        "track_origin": spoil(outputs["track_origin"], valid & (labels["origin"] >= 0), jnp.nan),
        "hadrons": outputs["hadrons"]._replace(
            objects=objects._replace(
                class_logits=spoil(objects.class_logits, batch.jet_valid, jnp.nan),
                mask_logits=jnp.where(valid[:, None], objects.mask_logits, jnp.nan),
                regression=spoil(objects.regression, batch.jet_valid, jnp.nan),
            )
        ),
    }
    expected, found = loss_sums(outputs, batch, labels), loss_sums(spoilt, batch, labels)
    np.testing.assert_array_equal(found.total, expected.total)
    np.testing.assert_array_equal(found.count, expected.count)


def with_objects(outputs, **changed):
    objects = outputs["hadrons"].objects._replace(**changed)
    return {**outputs, "hadrons": outputs["hadrons"]._replace(objects=objects)}


def test_nan_prediction_of_a_real_object_reaches_its_loss(loss_sums, make_batch, make_outputs):
    outputs = make_outputs()
    regression = outputs["hadrons"].objects.regression.at[0].set(jnp.nan)
    losses = loss_sums(with_objects(outputs, regression=regression), *make_batch()).mean()
    np.testing.assert_array_equal(np.isnan(losses), np.arange(6) == 5)


def test_order_of_queries_and_of_hadrons_does_not_matter(loss_sums, make_batch, make_outputs):
    batch, labels = make_batch()
    outputs = make_outputs()
    queries, order = np.array([2, 0, 1]), np.array([1, 2, 0])
    objects = jax.tree.map(lambda x: x[:, queries], outputs["hadrons"].objects)
    of_objects = ("hadrons", "hadron_class", "hadrons.regression")
    truth = {k: jax.tree.map(lambda x: x[:, order], labels[k]) for k in of_objects}
    expected = loss_sums(outputs, batch, labels)
    close(
        loss_sums(with_objects(outputs, **objects._asdict()), batch, labels).total, expected.total
    )
    close(loss_sums(outputs, batch, labels | truth).total, expected.total)


def test_every_object_has_a_query_of_its_own(tiny_config, make_batch, make_outputs):
    match = matcher(tiny_config)
    for seed in range(5):
        query_index = np.asarray(match(make_outputs(seed)["hadrons"].objects, *make_batch()))
        np.testing.assert_array_equal(np.sort(query_index), np.tile(np.arange(3), (5, 1)))


def test_assignment_knows_nothing_of_the_weights_of_the_losses(tiny_with, make_batch, make_outputs):
    """Neither the weights of the losses nor of the classes move it; its own weights do."""

    def queries(*options):
        match = matcher(tiny_with(*options))
        found = [match(make_outputs(s)["hadrons"].objects, *make_batch(s))[0] for s in range(20)]
        return np.asarray(found)

    expected = queries()
    others = [f"{HADRONS}.object_class.none_weight=40", "--tasks.hadrons.auxiliary=true", *BY_CLASS]
    np.testing.assert_array_equal(queries(*others), expected)
    for name in OBJECTS:
        changed = queries(f"--tasks.hadrons.matching.{name}=300")
        assert (changed != expected).any(), name


def test_reorder_takes_each_objects_query(make_outputs):
    objects = make_outputs()["hadrons"].objects
    index = assign(jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 3)), jnp.float32))
    found = reorder(objects, index)
    for field, before, after in zip(objects._fields, objects, found, strict=True):
        for jet in range(5):
            expected = before[jet, np.asarray(index[jet])]
            np.testing.assert_array_equal(after[jet], expected, err_msg=field)
