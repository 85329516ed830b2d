#!/usr/bin/env bash
# Makes the Python that `python benchmark.py PART --peers` compares with: benchmarks/peers.sh [DIR]
# PYTHON names the interpreter to start from.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
mkdir -p "${1:-$root/.peers}"
folder="$(cd "${1:-$root/.peers}" && pwd)"
[ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"

# A tenth of the size of PyPI's build of torch, which serves as well where this can't be reached.
cpu_builds=https://download.pytorch.org/whl/cpu
"$folder/bin/pip" install --retries 1 --extra-index-url "$cpu_builds" \
    -r "$root/requirements-peers.txt"
# It asks for torch 2.12 and for logging, plotting and export that the comparison does without.
"$folder/bin/pip" install --no-deps salt-ml==0.13.0

cd "$root"
"$folder/bin/python" -m benchmarks.salt_process < /dev/null
"$folder/bin/python" -c "import quadprog, torch; print('torch', torch.__version__)"
