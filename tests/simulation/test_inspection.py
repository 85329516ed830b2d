"""What `simulate.py inspect` says of files that lack something, and that it draws them."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from maskformer_jax.simulation import inspection

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "test.h5"
JETS = 60


def constant(table, field, value):
    def change(tables):
        tables[table][field] = value

    return change


def dropped(table, field):
    def change(tables):
        kept = [name for name in tables[table].dtype.names if name != field]
        tables[table] = tables[table][kept]

    return change


# What is done to the tables -> lines that are said, and lines of the others that stay.
ODD = {
    "nothing": (lambda t: None, [], ["60 jets: 19 bjets", "tracks per jet of", "c hadrons: "]),
    "no tracks": (constant("tracks", "valid", False), ["no tracks"], ["b hadrons: "]),
    "no dataset of tracks": (lambda t: t.pop("tracks"), ["no tracks"], ["60 jets: 19 bjets"]),
    "no hadrons": (
        constant("truth_hadrons", "valid", False),
        ["no b or c hadrons"],
        ["tracks per jet of"],
    ),
    "no dataset of hadrons": (
        lambda t: t.pop("truth_hadrons"),
        ["no b or c hadrons"],
        ["tracks per jet of"],
    ),
    "tracks without labels": (
        constant("tracks", "ftagTruthOriginLabel", -1),
        ["odd: 100.0% of the tracks have no known origin"],
        ["tracks per jet: mean", "b hadrons: "],
    ),
    "labels of no origin": (
        constant("tracks", "ftagTruthOriginLabel", 99),
        ["odd: 100.0% of the tracks have no known origin"],
        ["tracks per jet: mean"],
    ),
    "no field of origins": (
        dropped("tracks", "ftagTruthOriginLabel"),
        ["odd: 100.0% of the tracks have no known origin"],
        ["tracks per jet: mean"],
    ),
    "jets without labels": (
        constant("jets", "flavour_label", 15),
        ["60 jets: 0 bjets (0.0%), 0 cjets (0.0%), 0 ujets (0.0%), 60 no class (100.0%)"],
        ["tracks per jet of", "          no class", "b hadrons: "],
    ),
    "no field of flavours": (dropped("jets", "flavour_label"), ["60 no class"], ["b hadrons: "]),
    "NaN": (
        lambda t: t["tracks"]["d0"].__setitem__(slice(0, JETS, 2), np.nan),
        ["odd: `d0` of ", "tracks is not"],
        ["b hadrons: "],
    ),
    "infinite": (constant("tracks", "d0", np.inf), ["odd: `d0` of "], ["tracks per jet of"]),
    "no pT": (
        constant("jets", "pt_btagJes", np.nan),
        ["odd: `pt_btagJes` of 60 jets is not finite"],
        ["tracks per jet of"],
    ),
    "GeV": (
        constant("jets", "pt_btagJes", 50.0),
        ["odd: the median of `pt_btagJes` is 50, as in GeV"],
        ["jet pT [GeV]: median 0.1"],
    ),
    "no length": (
        constant("truth_hadrons", "Lxy", np.nan),
        ["odd: Lxy of "],
        ["tracks per jet of", "b hadrons: 0.3"],
    ),
}


@pytest.fixture
def made(tmp_path):
    """Writes the first jets of the sample with a change and returns the path."""

    def make(case):
        with h5py.File(SAMPLE) as file:
            tables = {name: file[name][:JETS] for name in file}
        ODD[case][0](tables)
        path = tmp_path / f"{case.replace(' ', '_')}.h5"
        with h5py.File(path, "w") as file:
            for name, table in tables.items():
                file[name] = table
        return path

    return make


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_said_and_the_rest_is_shown(case, made):
    text = "\n".join(inspection.describe(inspection.read(made(case))))
    assert all(line in text for part in ODD[case][1:] for line in part), text
    assert "nan" not in text and ("odd: " in text) == any("odd: " in x for x in ODD[case][1])


@pytest.mark.parametrize("cases", [("NaN", "jets without labels"), ("no tracks", "no hadrons")])
@pytest.mark.filterwarnings("error")
def test_all_that_is_there_is_drawn(cases, made, tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "THESIS_INPUTS", ("d0", "numberOfPixelHits"))
    text = inspection.inspect_file(*map(made, cases), tmp_path / "out")
    for name in ("inputs.png", "hits.png", "vertices.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
        assert str(tmp_path / "out" / name) in text


@pytest.mark.parametrize("values", [[1.0, np.nan, 3.0, np.inf], [np.nan], [2.0, 2.0], []])
def test_bins_are_numbers_that_rise(values):
    edges = inspection._edges(np.array(values), False)
    assert np.isfinite(edges).all() and (np.diff(edges) > 0).all()
