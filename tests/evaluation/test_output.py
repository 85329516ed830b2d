import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.evaluation.output import write_whole


def test_file_replaces_an_earlier_one(tmp_path):
    write_whole(tmp_path / "a.json", b"first")
    write_whole(tmp_path / "a.json", b"second")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"second"]


def test_full_disk_keeps_the_earlier_file_and_leaves_nothing_else(tmp_path, full_disk):
    write_whole(tmp_path / "a.json", b"first")
    with full_disk(), pytest.raises(InputError, match=r"a\.json: cannot be written: .*large"):
        write_whole(tmp_path / "a.json", bytes(10_000))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"first"]


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: cannot be written: No such file"):
        write_whole(tmp_path / "none" / "a.json", b"")
