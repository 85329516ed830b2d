import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from maskformer_jax.canvas import PlotConfig
from maskformer_jax.data import Records, StreamRecords
from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.config import DisplayConfig, FieldsConfig
from maskformer_jax.evaluation.event_display import EventDisplay, cannot
from maskformer_jax.evaluation.events import Event, Events
from maskformer_jax.evaluation.plots import event_display as plots
from maskformer_jax.evaluation.result_files import plain, read_events, write_events
from maskformer_jax.evaluation.section import Chunk
from maskformer_jax.types import ObjectLabels

WIDTH, OBJECTS = 4, 3
LABEL = "hadrons.regression"


def make_chunk(start=0, without=()):
    """Jets b, c, light, b: a b hadron with two tracks and a c hadron with one, of the first jet
    two of four rows of tracks are padding in front; the last b jet has a vertex, the light none.
    """
    jets = np.zeros(4, [("pt_btagJes", "f4"), ("eta_btagJes", "f4"), ("phi_btagJes", "f4")])
    jets["pt_btagJes"], jets["eta_btagJes"], jets["phi_btagJes"] = 80e3, 1.0, 0.5
    fields = [name for name in ("qOverP", "d0", "deta", "dphi") if name not in without]
    tracks = np.full((4, WIDTH), np.nan, [(name, "f4") for name in fields])
    track_index = np.array([[1, 2, 3, -1], [0, 1, -1, -1], [-1, -1, -1, -1], [0, 1, 2, 3]])
    for name in fields:
        values = {"qOverP": 1e-4, "d0": 0.2, "deta": 0.1, "dphi": -0.1}[name]
        tracks[name] = values * np.array([[1, -1, 2, -2]])
    hadrons = np.zeros((4, 2), [("barcode", "i4"), ("vx", "f4"), ("vy", "f4")])
    hadrons["vx"], hadrons["vy"] = 3 * np.cos(0.7), 3 * np.sin(0.7)
    hadrons = hadrons[[name for name in hadrons.dtype.names if name not in without]]
    masks = np.zeros((4, OBJECTS, WIDTH), bool)
    masks[0, 0, [0, 2]] = masks[0, 1, 1] = masks[1, 0, 0] = masks[3, 0, :2] = True
    valid = np.zeros((4, OBJECTS), bool)
    valid[0, :2] = valid[[1, 3], 0] = True
    labels = {
        "flavour": np.array([0, 1, 2, 0]),
        "hadron_class": np.where(valid, [0, 1, 1], 2),
        "hadrons": ObjectLabels(valid, masks),
        "origin": np.tile([0, 2, 3, 3], (4, 1)),
    }
    class_prob = np.tile([0.1, 0.7, 0.2], (4, OBJECTS, 1))
    class_prob[:, 1:] = [0.1, 0.2, 0.7]
    with np.errstate(divide="ignore"):
        origin = np.log(np.eye(8)[np.tile([2, 0, 3, 3], (4, 1))])
    predictions = {
        "jet_class": {"log_prob": np.log(np.tile([0.6, 0.3, 0.1], (4, 1)))},
        "hadrons": {
            "class_prob": class_prob,
            "mask_index": np.where(track_index >= 0, [0, -1, 0, -1], -1),
        },
        "track_origin": {"log_prob": origin},
    }
    # pt, Lxy, deta, dphi, mass
    true = np.tile([50e3, 3.0, 0.02, 0.15, 5e3], (4, OBJECTS, 1))
    rows = np.arange(start, start + 4)
    streams = {"tracks": StreamRecords(tracks, track_index)}
    records = Records(start, jets, streams, {"hadrons": hadrons}, rows, "test.h5")
    predicted = {LABEL: true * [1, 2, 1, 2, 1]}
    return Chunk(records, labels, predictions, {}, predicted, {LABEL: true})


@pytest.fixture(scope="module")
def whole(make_configs, make_setting):
    """A setting with all five properties of hadrons."""
    targets = "dphi: {}, mass: {name: log}"
    overlay = f"tasks: {{hadrons: {{losses: {{regression: {{targets: {{{targets}}}}}}}}}}}"
    return make_setting(make_configs(overlay))


def setting_with(setting, fields=None, **display):
    evaluation = dataclasses.replace(
        setting.config.evaluation,
        display=DisplayConfig(**display),
        fields=FieldsConfig(**(fields or {})),
    )
    return setting._replace(config=dataclasses.replace(setting.config, evaluation=evaluation))


def event_of(chunk, index, setting):
    return EventDisplay(setting, make_file()).read(chunk, index)


def make_file(num_jets=8, without=()):
    """What a display asks of a file of jets."""
    streams = make_chunk(without=without).records.streams
    dtype = {name: stream.table.dtype for name, stream in streams.items()}
    return SimpleNamespace(num_jets=num_jets, path="test.h5", dtype=dtype.__getitem__)


def test_chosen_rows_and_the_first_b_jets_with_a_vertex(whole):
    display = EventDisplay(setting_with(whole, jets=[6, 1, 6], first=3), make_file())
    display.add(make_chunk())
    display.add(make_chunk(start=4))
    assert [event.row for event in display.events] == [0, 1, 3, 4, 6]
    nothing = EventDisplay(setting_with(whole), make_file())
    nothing.add(make_chunk())
    assert nothing.events == []


def test_neither_c_jets_nor_single_tracks_are_among_the_first(whole):
    chunk = make_chunk()
    chunk.labels["hadrons"].masks[0, 0, 2] = False
    chunk.labels["hadrons"].masks[1, 0, :2] = True
    display = EventDisplay(setting_with(whole, first=3), make_file())
    display.add(chunk)
    assert [event.row for event in display.events] == [3]


def test_a_row_beyond_the_file_is_refused(whole):
    with pytest.raises(InputError, match=r"`evaluation.display.jets` must be below 8.*got 8"):
        EventDisplay(setting_with(whole, jets=[3, 8]), make_file())


def test_without_truth_jets_are_chosen_by_their_rows(whole):
    blind = whole._replace(labels=())
    with pytest.raises(InputError, match=r"`evaluation.display.first` .*test.h5 has no truth"):
        EventDisplay(setting_with(blind, first=1), make_file())
    display = EventDisplay(setting_with(blind, jets=[2]), make_file())
    display.add(without_truth(make_chunk()))
    assert [event.row for event in display.events] == [2] and display.events[0].truth is None


def test_a_model_without_objects_says_why_there_is_no_picture(edges_config, make_setting, whole):
    assert cannot(whole) is None and "classes and masks" in cannot(make_setting(edges_config))


def test_tracks_of_the_event(whole):
    event = event_of(make_chunk(), 0, whole)
    np.testing.assert_allclose(event.tracks.d0, [-0.2, 0.4, -0.4], rtol=1e-6)
    np.testing.assert_allclose(event.directions[:, 0], [-0.1, 0.2, -0.2], rtol=1e-6)
    np.testing.assert_allclose(event.tracks.phi, event.directions[:, 1])
    # p = 10 and 5 GeV at eta = 1 - 0.1, 1.2, 0.8; the charges are -, +, -.
    pt = np.array([10, 5, 5]) / np.cosh([0.9, 1.2, 0.8])
    np.testing.assert_allclose(event.track_pt, pt, rtol=1e-6)
    curvature = np.array([-1, 1, -1]) * 0.299792458e-3 * 2 / pt
    np.testing.assert_allclose(event.tracks.curvature, curvature, rtol=1e-6)
    assert event.pt == pytest.approx(80) and event.eta == pytest.approx(1)


def test_truth_and_prediction_of_the_event(whole):
    event = event_of(make_chunk(), 0, whole)
    truth, prediction = event.truth, event.prediction
    assert truth.class_prob == {"bjets": 1.0}
    np.testing.assert_array_equal(truth.slot, [0, 1, 0])
    np.testing.assert_array_equal(truth.pileup, [True, False, False])
    assert [(h.slot, h.kind, h.tracks) for h in truth.hadrons] == [(0, 0, 2), (1, 1, 1)]
    # The position in the file, turned by the azimuth of the jet.
    x, y = truth.hadrons[0].position
    assert (x, y) == pytest.approx((3 * np.cos(0.2), 3 * np.sin(0.2)), rel=1e-5)
    assert truth.hadrons[0].direction == (0.02, 0.15)
    np.testing.assert_array_equal(prediction.slot, [0, -1, 0])
    np.testing.assert_array_equal(prediction.pileup, [False, True, False])
    # The only object that is not likeliest `none`: a c hadron of twice the length and angle.
    (hadron,) = prediction.hadrons
    assert (hadron.slot, hadron.kind, hadron.tracks) == (0, 1, 2)
    assert hadron.class_prob == pytest.approx({"b": 0.1, "c": 0.7, "none": 0.2})
    assert hadron.position == pytest.approx((6 * np.cos(0.3), 6 * np.sin(0.3)))
    assert prediction.class_prob == pytest.approx({"bjets": 0.6, "cjets": 0.3, "ujets": 0.1})


def test_what_a_file_lacks_is_left_out(whole):
    event = event_of(make_chunk(without=("vx", "vy", "qOverP")), 0, whole)
    assert event.truth.hadrons[0].position == pytest.approx((3 * np.cos(0.15), 3 * np.sin(0.15)))
    assert np.all(event.tracks.curvature == 0) and np.all(np.isnan(event.track_pt))
    names = {"jet_pt": "other", "jet_eta": "other", "jet_phi": "other"}
    unknown = event_of(make_chunk(), 0, setting_with(whole, names))
    assert np.isnan(unknown.pt) and np.isnan(unknown.eta) and np.all(np.isnan(unknown.track_pt))


@pytest.mark.parametrize("name", ["d0", "deta", "dphi"])
def test_a_field_that_the_picture_needs_is_named(whole, name):
    file = make_file(without=(name,))
    EventDisplay(setting_with(whole), file)
    message = rf"test.h5: .*no field `{name}`.*`evaluation.fields.track_{name}`"
    with pytest.raises(InputError, match=message):
        EventDisplay(setting_with(whole, first=1), file)


def without_truth(chunk):
    return chunk._replace(records=chunk.records._replace(objects={}), labels={}, true={})


@pytest.fixture
def figures(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "save", lambda figure, path, look: drawn.update({path.name: figure}) or [path]
    )
    return drawn


def of_one(event):
    return Events({"pt": "MeV"}, "MaskFormer", [event])


def lines_of(panel, colour):
    return [
        line for line in panel.lines if line.get_color() == colour and len(line.get_xdata()) > 9
    ]


def test_picture_shows_tracks_from_their_vertices(whole, figures, tmp_path):
    event = event_of(make_chunk(), 0, whole)
    plots.draw(of_one(event), tmp_path, PlotConfig())
    figure = figures["event_0"]
    truth, angles, _, prediction, _, _ = figure.axes
    assert truth.get_title() == "Truth: b jet"
    assert prediction.get_title() == "MaskFormer: b 60 %, c 30 %, u 10 %"
    assert truth.get_xlim() == prediction.get_xlim() and truth.get_ylim() == prediction.get_ylim()
    # Each track of the b hadron: from its closest point on, and faintly before.
    drawn = lines_of(truth, plots.colour(0))
    assert sorted(line.get_linestyle() for line in drawn) == ["-", "-", ":", ":"]
    start = event.tracks.path_to(np.array([event.truth.hadrons[0].position] * 3))
    first = event.tracks.points(start[:, None])[[0, 2], 0]
    begins = [line.get_xydata()[0] for line in drawn if line.get_linestyle() == "-"]
    np.testing.assert_allclose(begins, first)
    assert angles.collections and "80 GeV" in figure.get_suptitle()


def test_vertices_beyond_the_window_are_arrows(whole, figures, tmp_path):
    chunk = make_chunk()
    chunk.predicted[LABEL][0, 0, 1] = 500.0
    event = event_of(chunk, 0, whole)
    plots.draw(of_one(event), tmp_path, PlotConfig())
    prediction = figures["event_0"].axes[3]
    assert prediction.get_xlim()[1] < 10
    assert ">" in [line.get_marker() for line in prediction.lines]


@pytest.mark.parametrize("row", [1, 2])
def test_pictures_of_other_jets_are_drawn_from_their_file(whole, tmp_path, row):
    """A c jet, and a light jet without tracks; without truth there is the prediction alone."""
    for chunk in (make_chunk(), without_truth(make_chunk())):
        events = of_one(event_of(chunk, row, whole)._replace(eta=np.nan))
        write_events(events, tmp_path)
        found = read_events(tmp_path)
        assert plain(found) == plain(events) and isinstance(found.events[0], Event)
        assert np.isnan(found.events[0].eta)
        (path,) = plots.draw(found, tmp_path, PlotConfig())
        assert path.name == f"event_{row}.png" and path.stat().st_size > 10_000
    write_events(events._replace(events=[]), tmp_path)
    assert read_events(tmp_path) is None
