"""Hundreds of small compiled programs per file, which would fill the memory."""

import gc

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Other files take what they share from the cache on disk."""
    yield
    jax.clear_caches()
    gc.collect()
