"""The log after an interruption."""

import json
import threading

import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.training.logging import MetricsLog


def test_lines_after_the_checkpoint_and_half_lines_are_removed(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for step in range(1, 5):
        log.write(step, {"loss": 1.0 / step})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    log = MetricsLog(tmp_path, 2)
    log.write(3, {"loss": 0.0})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 1.0), (2, 0.5), (3, 0.0)]


def test_a_dead_writer_thread_is_an_error_and_no_deadlock(tmp_path):
    log = MetricsLog(tmp_path, 0)

    def full():
        raise OSError(28, "No space left on device")

    thread = threading.Thread(target=full)
    thread.start()
    thread.join()
    with pytest.raises(InputError, match="No space left on device"):
        log.write(1, {"loss": 0.0})
    log._failure = None  # the writer of this test is alive
    log.close()
    assert threading.excepthook is threading.__excepthook__
