#!/usr/bin/env bash
# Measures training on an NVIDIA device, without network: benchmarks/gpu.sh [WHEELS_DIR] [OPTION...]
#
# The folder is filled on a machine with network, the same system and the same Python:
#   pip download -r requirements-cuda.txt -d wheels
# Without it packages come from the network. PYTHON names the interpreter to start from. If it has
# all that is needed, JAX with a device included, nothing is installed; if it has that JAX alone,
# of whatever version, the other wheels are put beside it. Options are those of
# `python benchmark.py gpu`. Leaves tables and numbers in runs/gpu.txt and runs/gpu.json, and what
# was installed and compiled in .gpu.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-python3}"
wheels=""
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    [ -d "$1" ] || { echo "error: $1: no such folder of wheels" >&2; exit 2; }
    wheels="$(cd "$1" && pwd)"
    shift
fi
cd "$root"
folder="$root/.gpu"
mkdir -p "$folder"
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$folder/cache}"
device="import jax; jax.devices('gpu')"

if ! "$python" -c "$device; import benchmark" 2> "$folder/why"; then
    if [ -n "$wheels" ] && "$python" -c "$device" 2> "$folder/why"; then
        find "$wheels" -type f -name '*.whl' ! -name 'jax-*' ! -name 'jaxlib-*' ! -name 'jax_cuda*' \
            ! -name 'nvidia_*' ! -name 'numpy-*' -print0 |
            xargs -0 "$python" -m pip install --quiet --no-index --no-deps --upgrade \
                --target "$folder/beside"
        export PYTHONPATH="$folder/beside${PYTHONPATH:+:$PYTHONPATH}"
    else
        [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
        python="$folder/bin/python"
        "$python" -m pip install --quiet ${wheels:+--no-index --find-links "$wheels"} \
            -r requirements-cuda.txt
    fi
    "$python" -c "$device; import benchmark" 2> "$folder/why" ||
        { echo "error: $(tail -n 1 "$folder/why")" >&2; exit 2; }
fi
# What has been begun within the limit is finished, all in less than nine minutes.
exec "$python" benchmark.py gpu --limit $((400 - SECONDS)) --output runs/gpu.json "$@"
