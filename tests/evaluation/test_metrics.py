from types import SimpleNamespace

import numpy as np

from maskformer_jax.evaluation import metrics
from maskformer_jax.evaluation.cells import to_text
from maskformer_jax.evaluation.formats import all_formats
from maskformer_jax.evaluation.models import Entry, all_tables, own_tables
from maskformer_jax.evaluation.quantities import number
from maskformer_jax.evaluation.result_files import read_results, write_results
from maskformer_jax.evaluation.results import Part, table_of
from maskformer_jax.evaluation.section import Section


class MeanPt(Section):
    """All that a further metric is: one section."""

    def keep(self, chunk):
        return chunk.records.jets["pt"]

    def part(self):
        cells = {"jets": {"mean": number(np.mean(self.kept()), 0.5, "GeV", "high")}}
        rows, columns = {"jets": "all jets"}, {"mean": "mean pT"}
        return Part([table_of("pt", "Momenta", rows, columns, cells)])


def test_a_metric_is_one_section_and_one_row(setting, monkeypatch, tmp_path):
    monkeypatch.setattr(metrics, "SECTIONS", (metrics.Row("pt", "objects", MeanPt),))
    tally = metrics.Tally(setting)
    jets = np.array([(10.0,), (20.0,)], [("pt", "f4")])
    tally.add(SimpleNamespace(records=SimpleNamespace(jets=jets)))
    write_results(tally.result("run", "test.h5"), tmp_path)
    result = read_results(tmp_path, "run")
    assert "all jets  15.00 +- 0.50" in to_text(own_tables(result)[0])
    (stacked,) = all_tables([Entry("run", "", {0: result})])
    assert all("15.00" in text or ",15," in text for text in all_formats([stacked]).values())
