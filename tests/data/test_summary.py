"""What is said of the jets before the first step, and that all of them are read."""

from types import SimpleNamespace

import numpy as np
import pytest

from maskformer_jax import experiment
from maskformer_jax.data import Scaling, check_values, fit_scaling, summarise
from maskformer_jax.errors import InputError


def test_one_line_says_what_there_is(tables, opened, change):
    file = opened(tables, change(block_size=50))
    found = summarise(file, fit_scaling(file), "pt")
    assert found.warnings == [] and "\n" not in found.text
    real = tables["tracks"]["valid"]
    real = real & (np.cumsum(real, axis=1) <= 5)
    hadron = (tables["truth_hadrons"]["barcode"] == 7).any(axis=1, keepdims=True)
    linked = (tables["tracks"]["ftagTruthParentBarcode"] == 7) & hadron & real
    assert found.text == (
        "flavour: 17 bjets, 17 cjets, 16 ujets, 0 in no class; "
        f"{real.sum() / 50:.1f} tracks per jet; origin known of 100% of the tracks; "
        f"{tables['truth_hadrons']['valid'].sum() / 50:.1f} hadrons per jet, linked to "
        f"{linked.sum() / real.sum():.0%} of the tracks"
    )


def changed(table, field, function):
    def apply(tables):
        tables[table][field] = function(tables[table][field])

    return apply


# What is done to the tables -> warnings.
WRONG = {
    "another code": (
        changed("jets", "flavour_label", lambda x: np.array([5, 4, 0])[x]),
        ["no jet is of class cjets, ujets of `flavour`; `flavour_label` is also 4, 5"],
    ),
    "no c": (
        changed("jets", "flavour_label", lambda x: np.where(x == 1, 0, x)),
        ["no jet is of class cjets of `flavour`"],
    ),
    "links": (
        changed("tracks", "ftagTruthParentBarcode", lambda x: np.where(x > 0, x + 10**6, x)),
        ["no tracks are linked to hadrons: compare the keys of both"],
    ),
    "no hadrons": (changed("truth_hadrons", "valid", lambda x: x & False), ["no hadrons"]),
    "origins": (
        changed("tracks", "ftagTruthOriginLabel", lambda x: x * 0 - 1),
        ["`origin` is known of no tracks"],
    ),
    "GeV": (
        changed("jets", "pt", lambda x: x / 1000),
        ["the median of `pt` is 4", ", as in GeV: it should be in MeV"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_was_not_meant_is_a_warning(case, tables, opened):
    apply, warnings = WRONG[case]
    scaling = fit_scaling(opened(tables))
    apply(tables)
    found = summarise(opened(tables), scaling, "pt").warnings
    assert len(found) == 1 and all(text in found[0] for text in warnings)


def test_classes_without_jets_are_said_where_nothing_can_be_fitted(tables, opened):
    WRONG["another code"][0](tables)
    WRONG["no hadrons"][0](tables)
    config = SimpleNamespace(data=SimpleNamespace(norm_file=None, train_jets=None))
    with pytest.raises(InputError, match=r"no real entry .*; no jet is of class cjets, ujets of"):
        experiment._fit_scaling(config, opened(tables))


def test_a_stream_without_constituents_is_a_warning(tables, opened, change):
    scaling = fit_scaling(opened(tables))
    tables["tracks"]["valid"] = False
    file = opened(tables)
    found = summarise(file, scaling, "no such field")
    assert found.warnings == ["no tracks"] and "0.0 tracks per jet" in found.text
    assert "origin" not in found.text


def test_every_jet_is_read(tables, opened, schema):
    scaling: Scaling = fit_scaling(opened(tables))
    check_values(opened(tables), scaling)
    tables["tracks"]["d0"][49, 0] = np.inf
    tables["jets"]["pt"][48] = np.nan
    tables["jets"]["flavour_label"][48] = 15
    check_values(opened(tables), scaling, 49)
    with pytest.raises(InputError, match=r"`d0` of dataset `tracks` is inf in row 49"):
        check_values(opened(tables), scaling)


# Type of the field, its value -> what is said; in the file it is no NaN and no infinity.
LARGE = {
    "overflow": (1e300, r"is 1e\+300 in row 31, beyond single precision"),
    "infinite": (np.inf, r"is inf in row 31; real entries must be finite"),
}


@pytest.mark.parametrize("case", LARGE)
def test_a_value_beyond_single_precision_is_named(case, tables, opened):
    value, message = LARGE[case]
    table = tables["tracks"]
    scaling = fit_scaling(opened(tables))
    tables["tracks"] = table.astype([("d0", "f8"), *table.dtype.descr[1:]])
    tables["tracks"]["d0"][31, 0] = value
    for use in (fit_scaling, lambda file: check_values(file, scaling)):
        with pytest.raises(InputError, match=f"`d0` of dataset `tracks` {message}"):
            use(opened(tables))


def test_a_spread_that_single_precision_takes_for_zero_is_refused(tables, opened):
    table = tables["tracks"]
    tables["tracks"] = table.astype([("d0", "f8"), *table.dtype.descr[1:]])
    tables["tracks"]["d0"] *= 1e-44
    with pytest.raises(InputError, match=r"`d0` of dataset `tracks` has zero spread"):
        fit_scaling(opened(tables))
