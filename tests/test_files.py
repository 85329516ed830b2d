import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.files import held, hold, refuse_links, write_whole


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


HOLDER = """
import sys, time
from pathlib import Path
from maskformer_jax.files import hold
with hold(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_lock_dies_with_its_process(tmp_path):
    path = tmp_path / ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    assert holder.stdout.readline() == b"True\n"
    with hold(path) as mine:
        assert not mine
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert path.exists()
    with hold(path) as mine, hold(path) as again:
        assert mine and not again
    assert not path.exists()


def test_a_lock_that_is_a_link_leaves_its_target(tmp_path):
    (tmp_path / "precious").write_text("thesis")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match=r"\.lock: cannot be written"), hold(tmp_path / ".lock"):
        pass
    assert (tmp_path / "precious").read_text() == "thesis"


def test_a_folder_in_which_nothing_was_written_is_gone(tmp_path):
    with held(tmp_path / "a" / "b", "writes to"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a" / "b").exists()


def test_a_link_is_found_at_any_depth_but_the_folder_may_be_one(tmp_path):
    (tmp_path / "real" / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    refuse_links(tmp_path / "link")
    (tmp_path / "real" / "a" / "b" / "c").symlink_to("nowhere")
    with pytest.raises(InputError, match="a/b/c is a symbolic link"):
        refuse_links(tmp_path / "link")


def test_a_partial_file_that_is_a_link_is_replaced(tmp_path):
    (tmp_path / "precious").write_text("thesis")
    (tmp_path / f".a.json.{os.getpid()}.partial").symlink_to(tmp_path / "precious")
    write_whole(tmp_path / "a.json", b"{}")
    assert (tmp_path / "precious").read_text() == "thesis"


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    (tmp_path / ".a.h5.1234.partial").write_bytes(b"half")
    (tmp_path / "a.h5").write_bytes(b"whole")
    with held(tmp_path, "writes to"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
