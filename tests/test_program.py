"""Ctrl-C and SIGTERM end a process with one line, whatever it does at that moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from maskformer_jax import __main__ as program
from maskformer_jax.program import stopped_by_signals

ROOT = Path(__file__).parents[1]
START = """
import signal, sys, time
from pathlib import Path
from maskformer_jax.program import first_signal, leave_at_signals, unfinished
def ready():
    print("ready", flush=True)
# These tests may be run under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
leave_at_signals()
"""
SLEEPS = "ready(); time.sleep(60)"
# As JAX does with an exception that arrives in one of its callbacks.
SWALLOWS = """
ready()
while True:
    try:
        time.sleep(0.01)
    except BaseException:
        pass
"""
# Code in C, until whose end no handler of Python runs.
COMPUTES = "import hashlib; ready(); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"
WRITES = (
    """
unfinished.update([Path(sys.argv[1]), Path(sys.argv[1] + ".never")])
Path(sys.argv[1]).write_text("half")
"""
    + SLEEPS
)
TIDIES_UP = """
with first_signal(lambda number: ready()):
    ready()
    time.sleep(60)
"""
NOHUP = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
leave_at_signals()
ready()
ready(); time.sleep(60)
"""
ENDS = {
    "Ctrl-C": (SLEEPS, [signal.SIGINT], 130),
    "SIGHUP": (SLEEPS, [signal.SIGHUP], 129),
    "nohup": (NOHUP, [signal.SIGHUP, signal.SIGTERM], 143),
    "SIGTERM": (SLEEPS, [signal.SIGTERM], 143),
    "swallows": (SWALLOWS, [signal.SIGINT], 130),
    "computes": (COMPUTES, [signal.SIGINT], 130),
    "writes": (WRITES, [signal.SIGTERM], 143),
    "tidies up": (TIDIES_UP, [signal.SIGTERM, signal.SIGINT], 130),
}


def started(*command):
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(("body", "numbers", "code"), ENDS.values(), ids=ENDS)
def test_a_signal_ends_the_process_with_one_line(tmp_path, body, numbers, code):
    process = started("-c", START + body, tmp_path / "half")
    for number in numbers:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (code, "stopped\n")
    assert list(tmp_path.iterdir()) == []


def catches_sigterm(process):
    """Whether the process has set a handler, which Python does not do by itself."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("script", ["train", "evaluate", "simulate", "study"])
def test_the_handler_comes_before_the_slow_imports(tmp_path, script):
    more = {"evaluate": ["--run", tmp_path, "--test_file", __file__], "study": ["status"]}
    process = started(f"{script}.py", *more.get(script, ["--output_dir", tmp_path / "new"]))
    while not catches_sigterm(process):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate()
    assert (process.returncode, out, errors) == (130, "", "stopped\n")
    assert not (tmp_path / "new").exists()


def test_what_must_be_tidied_up_is(monkeypatch, capsys):
    tidied = []

    def main(argv):
        with stopped_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                tidied.append(argv)

    monkeypatch.setattr(program.importlib, "import_module", lambda name: SimpleNamespace(main=main))
    assert program.main(["simulate", "a"]) == 128 + signal.SIGTERM
    assert tidied == [["a"]] and len(capsys.readouterr().err.splitlines()) == 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
