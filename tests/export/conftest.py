import pytest
from networks import exported, make

from maskformer_jax.export.run import onnx_of


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Three streams and all kinds of tasks."""
    return make(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="session")
def files(trained):
    """By whether it is batched: the function, names of its outputs, and the ONNX file."""
    found = {}
    for batched in (False, True):
        function, names = exported(trained, batched)
        found[batched] = function, names, onnx_of(function, trained.config, names, "Tagger")
    return found
