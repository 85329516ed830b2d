"""The report of a study on made-up results: verdicts, tables, missing runs, and the page."""

import dataclasses
import json
import math
import re
import shutil
import subprocess
import typing
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_up_results import made_up
from PIL import Image
from scipy import stats

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.models import Entry, averaged
from maskformer_jax.evaluation.result_files import write_results
from maskformer_jax.study import claims, comparison, config, figures
from maskformer_jax.study.claims import FAILS, HOLDS, UNDECIDED, UNKNOWN
from maskformer_jax.study.collect import collect
from maskformer_jax.study.comparison import Difference
from maskformer_jax.study.plan import plan
from maskformer_jax.study.report import write_report

ROOT = Path(__file__).parents[2]
# Light rejections at 60 % b efficiency as in Table 5.1 of the thesis, over 50.
THESIS = {
    "default": 88,
    "equal": 80,
    "gls": 119,
    "uw": 128,
    "dwa": 140,
    "rlw": 122,
    "stch": 85,
    "famo": 60,
    "aligned_mtl": 160,
    "cagrad": 180,
    "gradnorm": 165,
    "nash_mtl": 170,
    "pcgrad": 180,
    "gradvac": 158,
    "default_poly_plus": 119,
    "default_poly_minus": 139,
    "dwa_poly_minus": 152,
    "gls_poly_minus": 139,
}


@pytest.fixture(scope="module")
def thesis():
    return config.load([f"--config={ROOT / 'configs/study/thesis.yaml'}", "--seeds=[0, 1]"])


def models(study, lights=THESIS, seeds=(0, 1), scatter=0.005, **others):
    """Entries with the light rejections of `lights`, and a scatter between their seeds."""
    rng = np.random.default_rng(0)

    def results(name):
        changes = {key: values[name] for key, values in others.items() if name in values}
        light = lights[name] * float(np.exp(scatter * rng.normal()))
        return made_up(study.label(name), light, **changes)

    return {
        name: Entry(study.label(name), study.models[name].group, {s: results(name) for s in seeds})
        for name in lights
    }


def of(study, **changes):
    """A quantity of every model, by their groups or names."""
    return {
        name: changes.get(name, changes.get(model.group.split("-")[0], changes["other"]))
        for name, model in study.models.items()
    }


def verdicts(study, entries):
    return {v.claim.text.split()[0]: v for v in claims.confront(study, entries)}


def test_statements_that_hold(thesis):
    entries = models(
        thesis,
        auc=of(thesis, famo=0.9, other=0.95),
        width=of(thesis, Grad=0.5, other=0.4, PolyLoss=0.3),
        tpr=of(thesis, PolyLoss=0.8, other=0.7),
        vertex=of(thesis, PolyLoss=0.6, other=0.5),
    )
    found = verdicts(thesis, entries)
    assert {name: v.verdict for name, v in found.items()} == {
        "Gradient-based": HOLDS,
        "DWA": HOLDS,
        "Poly-1": UNDECIDED,
        "Regression": HOLDS,
        "Track": HOLDS,
        "FAMO": HOLDS,
    }
    # The AUC is the same with Poly-1 and without: not everything is helped.
    weak = [d for d in found["Poly-1"].differences if d.significance < comparison.SIGNIFICANT]
    assert [d.what for d in weak] == ["track origin AUC"]
    assert "6 of the 6 lie above DWA" in found["Gradient-based"].evidence


@pytest.mark.parametrize(
    ("statement", "lights", "others"),
    [
        ("Gradient-based", {"Grad": 50, "Loss": 100, "other": 80}, {}),
        ("DWA", {"dwa": 90, "other": 120}, {}),
        ("FAMO", {"famo": 150, "other": 120}, {}),
        ("Poly-1", {"PolyLoss": 80, "other": 120}, {}),
        ("Track", {"other": 100}, {"auc": {"gls": 0.90, "other": 0.95}}),
        ("Regression", {"other": 100}, {"width": {"Grad": 0.3, "other": 0.4}}),
    ],
)
def test_statements_that_do_not_hold(thesis, statement, lights, others):
    changes = {key: of(thesis, **values) for key, values in others.items()}
    entries = models(thesis, of(thesis, **lights), **changes)
    assert verdicts(thesis, entries)[statement].verdict == FAILS


def test_what_is_equal_is_seldom_decided(thesis):
    """Models that differ by their seeds alone: 2.3 % of decisions on each side are wrong."""
    rng = np.random.default_rng(0)

    def scattered(middle):
        return {name: middle * float(np.exp(0.05 * rng.normal())) for name in THESIS}

    decided = []
    for _ in range(8):
        seeds = [
            models(thesis, scattered(100.0), (seed,), width=scattered(0.4), tpr=scattered(0.6))
            for seed in (0, 1)
        ]
        both = {
            name: seeds[0][name]._replace(seeds={**seeds[0][name].seeds, **seeds[1][name].seeds})
            for name in THESIS
        }
        found = verdicts(thesis, both)
        decided += [v.verdict in (HOLDS, FAILS) for k, v in found.items() if k != "Track"]
    assert len(decided) == 40
    assert sum(decided) <= 5


def test_a_superlative_waits_for_all_rivals(thesis):
    entries = models(thesis)
    del entries["gls"]
    found = verdicts(thesis, entries)
    assert found["DWA"].verdict == found["FAMO"].verdict == UNDECIDED
    assert "1 more have not been evaluated" in found["DWA"].evidence


def test_the_range_of_equal_models_is_no_difference(thesis):
    """Of 17 equal models two are far apart, measured in the error of two models."""
    rng = np.random.default_rng(0)

    def results():
        return made_up(auc=0.95 + 0.05 * rng.normal())

    decided = []
    for _ in range(20):
        entries = {name: Entry(name, "", {s: results() for s in (0, 1)}) for name in THESIS}
        claim = thesis.claims["origin_is_indifferent"]
        decided.append(claims.alike(claims.Models(thesis, entries), claim).verdict)
    assert decided.count(UNDECIDED) >= 18


def test_statements_without_results(thesis):
    one = {"default": models(thesis)["default"]}
    assert {v.verdict for v in claims.confront(thesis, one)} == {UNKNOWN}
    smoke = config.load([f"--config={ROOT / 'configs/study/smoke.yaml'}"])
    assert claims.confront(smoke, {}) == []


def test_every_statement_has_a_predicate_and_a_quantity(thesis, tmp_path, monkeypatch):
    # From any folder.
    monkeypatch.chdir(tmp_path)
    assert config.load([f"--config={ROOT / 'configs/study/thesis.yaml'}"]).claims == thesis.claims
    kinds = typing.get_type_hints(config.ClaimConfig)
    assert typing.get_args(kinds["predicate"]) == tuple(claims.PREDICATES)
    assert typing.get_args(kinds["quantity"]) == tuple(claims.QUANTITIES)
    assert {claim.predicate for claim in thesis.claims.values()} == claims.PREDICATES.keys()


def test_pairs_with_and_without_poly(thesis):
    assert claims.option_pairs(thesis, thesis.claims["poly_helps"].option) == {
        "default_poly_plus": "default",
        "default_poly_minus": "default",
        "dwa_poly_minus": "dwa",
        "gls_poly_minus": "gls",
    }


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([2.0, 2.5], HOLDS),
        ([2.0, 1.9], UNDECIDED),
        ([-2.0], FAILS),
        # Of ten differences one of -2 is no surprise.
        ([-2.0] + [0.0] * 9, UNDECIDED),
        ([-2.9] + [0.0] * 9, FAILS),
        ([], UNKNOWN),
    ],
)
def test_decisions(values, verdict):
    assert claims.decide([Difference("", value, 1.0, False) for value in values]) == verdict


def test_errors_are_of_seeds_or_of_the_test_jets(thesis):
    place = "tagging", "jet_class", "b_tagging", "0.6", "ujets"
    measured = comparison.cell(models(thesis, scatter=0.1), *place)
    values = measured["value"].to_numpy().reshape(-1, 2)
    spread = comparison.pooled_spread(measured)
    assert spread.freedom == 18
    assert spread.value == pytest.approx(np.sqrt(values.var(axis=1, ddof=1).mean()))
    known = comparison.estimates(measured)
    # Student's t with 18 degrees of freedom: 2.149 is as rare as 2 of a normal distribution.
    assert known["dwa"].error == pytest.approx(2.149 / 2 * spread.value / np.sqrt(2), rel=1e-3)
    measured = comparison.cell(models(thesis, seeds=(0,)), *place)
    error = comparison.estimates(measured)["dwa"].error
    assert error == pytest.approx(measured.loc["dwa", "error"][0], rel=0.02)


def test_difference_of_groups_counts_the_larger_scatter():
    known = {
        name: comparison.Estimate(v, 0.1) for name, v in zip("abcd", (1, 3, 2, 2), strict=True)
    }
    value, error = comparison.group_contrast(known, "ab", "cd")
    assert value == 0
    scatter = stats.t.isf(stats.norm.sf(2), 1) / 2 * np.sqrt(2) / np.sqrt(2)
    assert error == pytest.approx(np.hypot(scatter, 0.1 / np.sqrt(2)))


def test_an_unknown_error_decides_nothing():
    assert Difference("", 5.0, math.nan, False).significance == 0
    assert Difference("", 5.0, 0.0, False).significance == math.inf


def light_curve(result):
    return result.sections["tagging"]["jet_class"].curves[0].points


def test_averages_over_seeds():
    entry = Entry("a", "", {0: made_up(light=100.0), 1: made_up(light=110.0)})
    mean = averaged(entry)
    assert mean.jets == 17_000
    curves = [light_curve(results) for results in entry.seeds.values()]
    found = light_curve(mean)
    both = np.array([curve.value for curve in curves])
    np.testing.assert_allclose(found.value, both.mean(0))
    np.testing.assert_allclose(found.error, both.std(0, ddof=1))
    light = mean.table("tagging", "jet_class", "b_tagging").get("0.6", "ujets")
    assert light.value == pytest.approx(105, rel=0.01)


def fill(runs, entries, test="ttbar", file="test.h5"):
    """Writes the results as a finished study has them."""
    for run in runs:
        results = entries.get(run.model, Entry("", "", {})).seeds.get(run.seed)
        if results is None:
            continue
        folder = run.folder / "evaluation" / test
        folder.mkdir(parents=True)
        write_results(results, folder)
        (folder / "evaluated.json").write_text(json.dumps({"file": file}))
        line = {"step": 10, "jets_per_second": 900.0, "cpu_ms_per_jet": 2.0}
        (run.folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")


@pytest.fixture(scope="module")
def report(thesis, tmp_path_factory):
    """The report of a study of which one run is missing."""
    folder = tmp_path_factory.mktemp("study")
    kept = ("default", "gls", "dwa", "famo", "cagrad", "pcgrad", "dwa_poly_minus")
    chosen = {name: thesis.models[name] for name in kept}
    chosen["gls"] = dataclasses.replace(chosen["gls"], label="<b>GLS</b>")
    study = dataclasses.replace(thesis, output_dir=str(folder), models=chosen)
    entries = models(study, {name: THESIS[name] for name in kept})
    entries["famo"] = entries["famo"]._replace(seeds={0: entries["famo"].seeds[0]})
    runs = plan(study)
    fill(runs, entries)
    with pytest.MonkeyPatch.context() as patch:
        # The pictures have tests of their own.
        patch.setattr(figures, "draw_plots", draw_nothing)
        return folder / "report", write_report(study, runs)


def draw_nothing(results, folder, look):
    assert results[0].label == "Default" and look.sample == "ttbar"
    Image.new("RGB", (40, 30), "white").save(folder / "roc_b.png")
    return [folder / "roc_b.png"]


def test_the_report_has_all_tables_and_says_what_is_missing(report):
    folder, summary = report
    assert "missing: famo, seed 1, on ttbar" in summary
    assert re.search(r"holds  DWA is the best", summary)
    names = {path.stem for path in (folder / "tables").glob("*.csv")}
    assert {"cost", "ttbar_b_tagging", "ttbar_b_tagging_changes", "ttbar_residual_widths"} <= names
    assert names == {path.stem for path in (folder / "tables").glob("*.tex")}
    text = (folder / "report.md").read_text()
    assert "## Does it hold here?" in text
    assert len(re.findall(r"\| PCGrad +\|", text)) == len(names)
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (folder / link).exists()


VOID = {"meta", "img", "rect", "br"}


class Page(HTMLParser):
    """Links, anchors and balance of the tags of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.sources = [], set(), set(), []

    def handle_starttag(self, tag, attrs):
        options = dict(attrs)
        assert options.get("id") not in self.ids or options.get("id") is None
        self.ids.add(options.get("id"))
        if tag == "a":
            self.links.add(options["href"])
        if "src" in options:
            self.sources.append(options["src"])
        assert tag not in ("link", "script", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(report):
    text = (report[0] / "index.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(link[0] == "#" and link[1:] in page.ids for link in page.links)
    assert page.sources and all(s.startswith("data:image/png;base64,") for s in page.sources)
    assert "url(" not in text and "http" not in text
    assert not re.search(r"\bnan\b", text)
    assert "<b>" not in text and "&lt;b&gt;GLS&lt;/b&gt;" in text
    # The verdicts, at the top and where they are explained.
    assert text.count("badge yes") == 6 and "+0.010 ± 0.000" in text


def test_a_browser_shows_the_page(report, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no headless browser: neither chromium nor google-chrome is installed")
    picture = tmp_path / "page.png"
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000"),
        *(f"--screenshot={picture}", (report[0] / "index.html").as_uri()),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with Image.open(picture) as image:
        assert image.size == (1400, 1000)
        pixels = np.asarray(image.convert("L"))
    # The page has a grey bar at the left, and dark letters on white beside it.
    assert (pixels[:, 400:] == 255).mean() > 0.5
    assert (pixels[:, 400:] < 100).mean() > 0.01


def test_nothing_evaluated_and_different_files_are_refused(tmp_path):
    study = config.load(
        [f"--config={ROOT / 'configs/study/smoke.yaml'}", f"--output_dir={tmp_path}"]
    )
    runs = plan(study)
    with pytest.raises(InputError, match="no run has been evaluated yet"):
        collect(study, runs)
    entries = {name: Entry(name, "", {0: made_up(name)}) for name in study.models}
    fill(runs, {"default": entries["default"]})
    fill(runs, {"cagrad": entries["cagrad"]}, file="other.h5")
    with pytest.raises(InputError, match=r"evaluated with different file: see .* and .*cagrad"):
        collect(study, runs)
    record = {"file": "test.h5", "evaluation": {"batch_size": 2}}
    (runs[1].folder / "evaluation" / "ttbar" / "evaluated.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="evaluated with different evaluation: see"):
        collect(study, runs)
