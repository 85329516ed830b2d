"""A flipped bit or a cut is noticed wherever it is, and named."""

import json
import re

import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.training import manifest
from maskformer_jax.training.manifest import DamagedError, seal, unseal

CONTENT = {"best": 0.25, "best_step": 8, "loader": {"next_index": 12}, "nonfinite": (3,)}
FILES = {"config.yaml": b"name: a\n", "normalisation.yaml": b"std: 2.5\n"}
JETS = {"data.train_file": {"jets": 70, "labels": 5}}


def flipped(content):
    """The content with each bit of every third byte flipped, and cut off there."""
    for place in range(0, len(content), 3):
        for bit in range(8):
            yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        yield content[:place]


def test_what_is_sealed_comes_back_or_is_damaged():
    text = json.dumps(seal(CONTENT)).encode()
    assert unseal(json.loads(text)) == CONTENT | {"nonfinite": [3]}
    for damaged in flipped(text):
        with pytest.raises((DamagedError, ValueError)):
            unseal(json.loads(damaged))


@pytest.fixture
def run(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    manifest.write(tmp_path, FILES, JETS)
    return tmp_path


@pytest.mark.parametrize("name", [*FILES, manifest.FILE_NAME])
def test_every_damage_of_a_file_is_named(run, name):
    assert manifest.read(run) == JETS
    path, whole = run / name, (run / name).read_bytes()
    for damaged in flipped(whole):
        path.write_bytes(damaged)
        if damaged.strip() != whole.strip():
            with pytest.raises(InputError, match=re.escape(f"{path} is damaged")):
                manifest.read(run)
    path.unlink()
    with pytest.raises(InputError, match=re.escape(f"{path}, which a whole run folder has")):
        manifest.read(run)
