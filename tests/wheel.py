"""Builds the wheel, installs it into fresh environments and uses it there: `make wheel`.

Runs in any Python 3.11 or newer; pip reaches the package index.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "weighting.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
# What pyproject.toml says of the core.
OLDEST = ("jax==0.6.2", "jaxlib==0.6.2", "optax==0.2.5", "jaxtyping==0.3.2")
ALONE = """
import sys
import maskformer_jax.weighting
parts = {name for name in sys.modules if name.startswith("maskformer_jax.")}
other = {name for name in parts if "weighting" not in name} - {"maskformer_jax.extras"}
sys.exit(f"weighting imports {other}" if other else 0)
"""
SHORT = """
data: {train_jets: 400, val_jets: 100, streams: {tracks: {cap: 8}}}
model: {embed_dim: 16, num_heads: 2, encoder: {layers: 1}, head_widths: [16]}
tasks: {hadrons: {decoder_layers: 1}}
training: {epochs: 1, batch_size: 100}
"""


class Environment:
    """A fresh environment with the wheel, whose programs run in an empty folder."""

    def __init__(self, folder: Path, wheel: Path, extra: str = "", versions: Sequence[str] = ()):
        print(f"\n{folder.name}: pip install {wheel.name}{extra} {' '.join(versions)}", flush=True)
        self.folder, self._bin = folder / "work", folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.folder.mkdir()
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        assert self.run("python", *install, f"{wheel}{extra}", *versions) == (0, [])

    def run(self, program: str, *arguments: str) -> tuple[int, list[str]]:
        """Exit code, and lines on stderr, but for what pip says of the places it looks in."""
        done = subprocess.run(
            [self._bin / program, *arguments],
            cwd=self.folder,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = [line for line in done.stderr.splitlines() if "is ignored: it is" not in line]
        print(*lines, sep="\n", flush=True)
        return done.returncode, lines

    def runs(self, program: str) -> None:
        """A program of the documentation works, wherever it lies."""
        assert self.run("python", "-c", program)[0] == 0

    def refuses(self, command: str, message: str) -> None:
        """`maskformer` says what is wrong in one line."""
        code, lines = self.run("maskformer", *command.split())
        assert (code, len(lines)) == (2, 1) and message in lines[0], lines


def check_core(environment: Environment) -> None:
    """The library alone, and what the program says without its extras."""
    needs = ("flax", "equinox", "haiku")
    plain = [program for program in PROGRAMS if not any(name in program for name in needs)]
    for program in (ALONE, *plain[:2]):
        environment.runs(program)
    environment.refuses("train --config gn2", "pip install 'maskformer_jax[train]'")
    environment.refuses("evaluate --run R --test_file F", "pip install 'maskformer_jax[evaluate]'")


def check_train(environment: Environment) -> None:
    """A module of Flax, and a training on the sample, which is no part of the wheel."""
    environment.runs(next(program for program in PROGRAMS if "flax" in program))
    (environment.folder / "short.yaml").write_text(SHORT)
    short = "train --config quickstart --config short.yaml --output_dir run"
    environment.refuses(short, "data/sample/train.h5: no such file; the sample comes with a clone")
    environment.refuses("train --config quickstrat", "did you mean `quickstart`?")
    files = [f"--data.{name}_file={ROOT}/data/sample/{name}.h5" for name in ("train", "val")]
    assert environment.run("maskformer", *short.split(), *files)[0] == 0
    assert (environment.folder / "run" / "checkpoints" / "best").is_dir()
    assert environment.run("python", "-m", "maskformer_jax", "train", "--resume=run")[0] == 0


def main() -> None:
    """Every environment in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = ("-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps")
        subprocess.run([sys.executable, *build, ROOT, "--wheel-dir", folder], check=True)
        (wheel,) = folder.glob("*.whl")
        check_core(Environment(folder / "core", wheel))
        check_core(Environment(folder / "oldest", wheel, versions=OLDEST))
        check_train(Environment(folder / "train", wheel, "[train]"))
    print("\nthe wheel works with the core, its oldest versions, and [train]")


if __name__ == "__main__":
    main()
