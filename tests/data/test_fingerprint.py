"""The same jets are known again elsewhere and under other names, and others are told apart."""

import numpy as np
import pytest

from maskformer_jax.data import fingerprint


def relabel(tables):
    tables["jets"]["flavour_label"][-1] = 0


def change_inputs(tables):
    tables["tracks"]["d0"] *= 1.01


def change_truth(tables):
    tables["truth_hadrons"]["Lxy"] *= 1.01


def lose_jets(tables):
    for name in tables:
        tables[name] = tables[name][:49]


def rename(tables):
    tables["jets"].dtype.names = ("p_t", "eta", "flavour_label")
    more = np.zeros(len(tables["jets"]), [*tables["jets"].dtype.descr, ("weight", "f4")])
    for name in tables["jets"].dtype.names:
        more[name] = tables["jets"][name]
    tables["jets"] = more


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (relabel, {"labels", "inputs"}),
        (change_inputs, {"inputs"}),
        (change_truth, {"inputs"}),
        (lose_jets, {"jets", "labels", "inputs"}),
        (rename, set()),
    ],
)
def test_other_jets_are_told_apart(opened, tables, schema, change, changed):
    before = fingerprint(opened(tables))
    assert before["jets"] == 50
    change(tables)
    if change is rename:
        schema = schema._replace(jets=schema.jets.__class__(inputs=["p_t", "eta"]))
    now = fingerprint(opened(tables, schema, chunks=True))
    assert {name for name in before if now[name] != before[name]} == changed


def test_only_the_jets_that_are_used_count(opened, tables):
    before = fingerprint(opened(tables), 40)
    tables["jets"]["flavour_label"][45:] = 0
    assert fingerprint(opened(tables), 40) == before != fingerprint(opened(tables))
