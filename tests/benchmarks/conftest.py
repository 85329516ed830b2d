"""Benchmarks leave the cache of compiled programs and the cores of the test process as they are."""

import os

import pytest


@pytest.fixture(autouse=True)
def cache_and_cores(monkeypatch):
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    monkeypatch.setattr("benchmark.use_cache", lambda: None)
    yield
    if cores:
        os.sched_setaffinity(0, cores)
