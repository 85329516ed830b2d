"""The log after an interruption."""

import math

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from maskformer_jax.errors import InputError
from maskformer_jax.training.logging import MetricsLog, read_log


def test_lines_after_the_checkpoint_and_damaged_lines_are_removed(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for step in range(1, 5):
        log.write(step, {"loss": 1.0 / step, "nothing": math.nan, "much": math.inf})
    log.close()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "l\xf3ss": 1}\n{"step": 5, "lo')
    lines = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").write_bytes(lines.replace(b"0.5", b"0.7"))
    log = MetricsLog(tmp_path, 2)
    log.write(3, {"loss": 0.0})
    log.close()
    assert read_log(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 3, "loss": 0.0}]


def test_tensorboard_has_the_same_numbers_and_forgets_later_steps(tmp_path):
    for start, step in ((0, 3), (2, 3)):
        log = MetricsLog(tmp_path, start)
        log.write(step, {"loss/a": 0.5, "nothing": math.nan})
        log.close()
        [path] = (tmp_path / "tensorboard").iterdir()
        _, begin, event = events(path)
        assert begin.session_log.status == SessionLog.START and begin.step == start + 1
        [value] = event.summary.value
        assert (event.step, value.tag, value.simple_value) == (step, "loss/a", 0.5)
        path.unlink()


def events(path):
    """What is in a file for TensorBoard: length, checksum, content, checksum of each."""
    content = path.read_bytes()
    while content:
        size = int.from_bytes(content[:8], "little")
        yield Event.FromString(content[12 : 12 + size])
        content = content[16 + size :]


def test_a_full_disk_names_the_file(tmp_path, full_disk):
    log = MetricsLog(tmp_path, 0)
    with full_disk(), pytest.raises(InputError, match=r"tensorboard: cannot be written: .*large"):
        for step in range(1000):
            log.write(step, dict.fromkeys("abcdefghijklmnopqrst", 1))
    log.close()
    log = MetricsLog(tmp_path, 0)
    (tmp_path / "metrics.jsonl").write_bytes(bytes(5000))
    with (
        full_disk(),
        pytest.raises(InputError, match=r"metrics\.jsonl: cannot be written: .*large"),
    ):
        log.write(1, {"loss": 1.0})
    log.close()


def test_a_log_that_is_a_link_is_replaced(tmp_path):
    (tmp_path / "precious").write_text('{"step": 1}\n')
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "precious")
    MetricsLog(tmp_path, 0).close()
    assert (tmp_path / "precious").read_text() == '{"step": 1}\n'
    assert not (tmp_path / "metrics.jsonl").is_symlink()
