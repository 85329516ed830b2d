"""What is measured on an accelerator, on the CPU and without looking at the numbers."""

import json
import os
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import benchmark
from benchmarks import devices
from benchmarks.devices import Case, compare
from benchmarks.gpu import cases, measured, tables
from benchmarks.tables import text
from maskformer_jax.weighting import METHODS

ROOT = Path(__file__).parents[2]
TINY = f"""\
base: {ROOT}/configs/gn2.yaml
data: {{streams: {{tracks: {{cap: 8}}}}}}
model: {{embed_dim: 16, num_heads: 2, head_widths: [16], encoder: {{layers: 1, output_dim: 16}}}}
"""


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def options(network, tmp_path, *more):
    output = ["--output", str(tmp_path / "made" / "gpu.json")]
    small = ["--dtypes", "float32", "--seconds", "0.01", "--threads", "1"]
    return ["gpu", "--models", network, "--batch_sizes", "8", *small, *output, *more]


def test_every_column_is_filled_and_written(network, capsys, tmp_path):
    more = ("--methods", "equal", "--parts", "sizes", "methods")
    assert benchmark.main(options(network, tmp_path, *more)) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "made" / "gpu.json").read_text())
    assert (tmp_path / "made" / "gpu.txt").read_text() == shown
    (row,) = found["trainings"]["raw"]
    assert row["method"] == "equal" and row["finite"] and row["bytes"] > 0
    assert 0 <= row["waiting"] < 1 and row["loaded_jets_per_second"] > 0
    seconds = np.median(row["step_seconds"])
    np.testing.assert_allclose(row["jets_per_second"], 8 / seconds)
    assert "differences" not in found and found["missing"]["title"].endswith(": nothing")
    assert found["machine"]["device"] == "cpu"
    assert re.search(r"^tiny +float32 +8  equal +[\d,]+ +1\.000 +[\d,]+ +[\d.]+% +", shown, re.M)


def test_what_is_not_reached_is_named(network, capsys, tmp_path):
    more = ("--methods", "equal", "uw", "--limit", "0")
    assert benchmark.main(options(network, tmp_path, *more)) == 0
    missing = "; ".join(
        ["tiny equal float32 8", "correctness of equal", "correctness of uw", "tiny uw float32 8"]
    )
    assert capsys.readouterr().out.endswith(f"\nnot measured within 0 s: {missing}\n")


def test_the_most_important_comes_first_and_all_comes_once():
    arguments = (["a", "b"], list(METHODS), ["bfloat16", "float32"], [4, 16, 1])
    found = cases(*arguments)
    first = [
        Case("sizes", model, method, dtype, 4)
        for model in ("a", "b")
        for dtype in arguments[2]
        for method in ("equal", "cagrad")
    ]
    assert found[:8] == first and len(set(found)) == len(found)
    expected = {"sizes": 2 * 3 * 2 * 2, "methods": 2 * (len(METHODS) - 2)}
    expected |= {"correctness": len(METHODS)}
    assert Counter(case.part for case in found) == expected


def test_a_training_that_fails_says_why_and_the_others_go_on():
    def numbers(case):
        if case.batch_size == 16:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory\ntrace")
        return {"jets_per_second": 2.0}

    def prepare(case, pool):
        return partial(numbers, case)

    group = [Case("sizes", "a.yaml", "equal", "float32", size) for size in (16, 8)]
    failed, good = measured(group, {"sizes": prepare}, deadline=np.inf, threads=1)
    assert good["jets_per_second"] == 2.0
    compared = Case("correctness", "a", "uw", "float32", 8)._asdict() | {"failed": "no solver"}
    found = tables([failed, compared], "within 1 s", [])
    reason = "a equal float32 16: RESOURCE_EXHAUSTED: out of memory"
    assert text(found["trainings"]).splitlines()[1:] == [reason]
    assert text(found["differences"]).splitlines()[1:] == ["correctness of uw: no solver"]


class State(NamedTuple):
    params: jax.Array
    optimiser_state: Any


class Metrics(NamedTuple):
    weights: jax.Array
    losses: jax.Array


# Gradients of the program for the device and of that for the CPU, and the difference.
SLOPES = {
    "the same": (1.0, 1.0, 0.0),
    "steeper": (1.25, 1.0, 0.25),
    "not finite": (np.nan, 1, np.nan),
}


@pytest.mark.parametrize("case", SLOPES)
def test_differences_are_relative_to_the_cpu(case, monkeypatch):
    """A network of two parameters that become steps of 0.1, however steep the gradient."""
    *slopes, expected = SLOPES[case]
    left, optimiser = iter(slopes), optax.adam(0.1)

    def step(slope, state, jets):
        updates, memory = optimiser.update(slope * jets, state.optimiser_state)
        losses = jets @ state.params
        return State(state.params + updates, memory), Metrics(jets[:1], losses)

    def lower(*arguments):
        return jax.jit(partial(step, next(left)), donate_argnums=0).lower(*arguments)

    state = State(jnp.ones(2), optimiser.init(jnp.ones(2)))
    trainer = SimpleNamespace(state=state, step=SimpleNamespace(lower=lower))
    made = SimpleNamespace(trainer=trainer, batch=lambda: (jnp.array([3.0, 4.0]),))
    monkeypatch.setattr(devices, "tiny", lambda *_: made)
    given = Case("correctness", "none", "equal", "float32", 8)
    with ThreadPoolExecutor(1) as pool:
        found = compare(given, pool, file="none")()
    np.testing.assert_allclose(found["update"], expected, rtol=1e-6)
    assert found["weights"] == 0.0
    assert found["losses"] < 1e-6 or case == "not finite"


BAD = [
    (["--batch_sizes", "8", "0"], r"`--batch_sizes` must be at least 1; got \[8, 0\]"),
    (["--methods", "equall"], r"no method is called 'equall'; did you mean `equal`\?"),
    (["--batch_sizes", "40000"], r"at most the 30000 jets of .*; got 40000"),
]


@pytest.mark.parametrize(("more", "message"), BAD, ids=range(len(BAD)))
def test_wrong_input_is_one_line_and_exit_code_2(more, message, network, capsys, tmp_path):
    output = str(tmp_path / "gpu.json")
    assert benchmark.main(["gpu", "--models", network, "--output", output, *more]) == 2
    error = capsys.readouterr().err
    assert re.match(rf"error: .*{message}", error) and error.count("\n") == 1


FAKE = """\
#!/bin/sh
# Python that has what FAKE_HAS says, and writes down what it is asked to do.
case "$1 $2" in
    "-c "*"import benchmark") [ -n "$PYTHONPATH" ] || [ "$FAKE_HAS" = all ] || [ -n "$FAKE_VENV" ];;
    "-c "*) [ "$FAKE_HAS" != nothing ];;
    "-m venv")
        mkdir -p "$3/bin"
        { echo "#!/bin/sh"; echo "FAKE_VENV=1 exec $0 \\"\\$@\\""; } > "$3/bin/python"
        chmod +x "$3/bin/python";;
    *) echo "$@" | sed "s#$PWD#.#g" >> "$FAKE_LOG";;
esac
"""
INSTALL = "-m pip install --quiet --no-index"
SCRIPTS = {
    "all": [],
    "jax": [f"{INSTALL} --no-deps --upgrade --target ./.gpu/beside ./wheels/jaxtyping-1.whl"],
    "nothing": [f"{INSTALL} --find-links ./wheels -r requirements-cuda.txt"],
}


@pytest.mark.parametrize("has", SCRIPTS)
def test_script_installs_what_is_missing_and_measures(has, tmp_path):
    for folder in ("benchmarks", "wheels"):
        (tmp_path / folder).mkdir()
    for name in ("jax-1.whl", "jaxlib-1.whl", "jaxtyping-1.whl", "numpy-1.whl", "nvidia_a-1.whl"):
        (tmp_path / "wheels" / name).touch()
    (tmp_path / "benchmarks" / "gpu.sh").write_text((ROOT / "benchmarks" / "gpu.sh").read_text())
    (tmp_path / "python").write_text(FAKE)
    (tmp_path / "python").chmod(0o755)
    known = {"PYTHON": str(tmp_path / "python"), "FAKE_LOG": str(tmp_path / "log")}
    known |= {"FAKE_HAS": has, "PATH": os.environ["PATH"]}
    command = ["bash", "benchmarks/gpu.sh", "wheels", "--parts", "sizes"]
    subprocess.run(command, cwd=tmp_path, env=known, check=True)
    *installed, measured = (tmp_path / "log").read_text().splitlines()
    assert installed == SCRIPTS[has]
    assert re.fullmatch(
        r"benchmark.py gpu --limit \d+ --output runs/gpu.json --parts sizes", measured
    )
    command[2] = "none"
    refused = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr == "error: none: no such folder of wheels\n"
