"""The benchmark runs; its numbers are not looked at."""

import os

import pytest

import benchmark
from benchmarks.data import make
from maskformer_jax.config import DataConfig


@pytest.fixture
def affinity():
    """The benchmark binds the process to one core."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    if cores:
        os.sched_setaffinity(0, cores)


def test_data_prints_one_line_per_file(affinity, capsys, tmp_path):
    path = make(tmp_path / "noise.h5", DataConfig(), 30, 0.2)
    assert benchmark.main(["data", "--file", str(path), "--jets", "20"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "layout", "reading", "batches", "ratio"]
    assert [line.split(" jets")[0].split()[-1] for line in lines] == ["20", "20", "20"]
    assert "noise.h5" in lines[0] and "40 x 22 fields, plain" in lines[0]


def test_missing_file_is_one_line_and_exit_code_2(affinity, capsys, tmp_path):
    assert benchmark.main(["data", "--file", str(tmp_path / "none.h5")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'none.h5'}: no such file\n"
