import pytest

from maskformer_jax.evaluation.report import table


def line(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_row_of_a_working_point(read_metrics):
    # 5 of 1000 pass: 200 +- 200 sqrt(0.995/5) = 89; 100 of 400: 4 +- 4 sqrt(0.75/100) = 0.35.
    text = table(read_metrics())
    assert " ".join(line(text, "70")) == "70 200 +- 89 * 200 +- 89 * 4.00 +- 0.35 4.00 +- 0.35"
    c_tagging = text[text.index("c-tagging, D_c with f_b = 0.1") :]
    assert " ".join(line(c_tagging, "70")) == "70 200 +- 89 * 4.00 +- 0.35"
    assert text.count("* fewer than 10 background jets pass") == 2


def test_zero_passing_jets_are_printed_as_a_limit(read_metrics):
    text = table(read_metrics(light_passing=0))
    # 1/(1 - 0.05^(1/1000)) = 334.3
    assert line(text, "70")[:3] == ["70", ">", "334"]
    assert "lower limit at 95 % confidence" in text


def test_many_passing_jets_need_no_footnote(read_metrics):
    text = table(read_metrics(light_passing=10))
    assert "fewer than" not in text and "lower limit" not in text


def test_undefined_values_are_dashes(read_metrics):
    text = table(read_metrics(regression_number=0))
    assert line(text, "pt: true")[-5:] == ["-", "-", "-", "-", "0"]
    assert line(text, "ujets")[-6:] == ["-", "0", "-", "75", "+-", "22"]
    assert line(text, "Fake")[1:] == ["-", "0.5000", "0.5000", "0.5000", "0"]


@pytest.mark.parametrize("signal", ["b", "c"])
def test_file_without_a_signal_has_no_rejections(read_metrics, signal):
    def remove(values):
        points = values["tagging"]["jet_class"]["discriminants"][signal]["points"]
        points.update({tagger: {} for tagger in points})

    assert f"no {signal} jets in this file" in table(read_metrics(remove))


def test_table_fits_a_terminal(read_metrics):
    def rename(values):
        points = values["tagging"]["jet_class"]["discriminants"]["b"]["points"]
        points["a" * 50] = points.pop("MaskFormer")

    text = table(read_metrics(rename))
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()


def test_tasks_of_one_section_are_told_apart_by_their_names(read_metrics):
    def double(values):
        for section in ("tagging", "vertexing", "constituents", "objects", "regression"):
            values[section]["other"] = next(iter(values[section].values()))

    text = table(read_metrics(double))
    for title in (
        "Flavour (jet_class) accuracy 75",
        "Flavour (other) accuracy 75",
        "b-tagging, D_b with f_c = 0.1 (other)",
        "merged (inclusive) (hadrons)",
        "Track origins, each against all others (track_origin)",
        "Objects matched to hadrons (other)",
        "residuals of the 3 hadrons found of 4 (other)",
    ):
        assert title in text
    assert text.startswith("1,500 jets\n") and max(map(len, text.splitlines())) <= 100


def test_there_is_what_was_measured(read_metrics):
    def jets_alone(values):
        for section in ("vertexing", "constituents", "objects", "regression"):
            del values[section]

    text = table(read_metrics(jets_alone))
    assert "b-tagging" in text and not {"Vertices", "Objects", "residual"} & set(text.split())
