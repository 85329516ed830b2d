"""The persistent compilation cache: the second run of a program starts at once."""

import os
from pathlib import Path

import jax


def use_cache() -> None:
    """Keeps compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or in the user's cache folder."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "maskformer_jax"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
