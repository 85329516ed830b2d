"""What JAX is told before anything computes: settings, platform, where compiled code is kept."""

import os
from pathlib import Path

import jax

from maskformer_jax.errors import InputError

# What a training relies on, whatever the environment says.
SETTINGS = {
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_transfer_guard": "allow",
    "jax_default_prng_impl": "threefry2x32",
}

# Seconds of a compilation that is worth keeping.
SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def settle() -> None:
    """Sets what JAX would take from the environment, and looks for a device.

    Raises:
        InputError: the platform that the environment asks for is not there.
    """
    for name, value in SETTINGS.items():
        jax.config.update(name, value)
    try:
        jax.devices()
    # AssertionError: JAX knows the platform, but not the plugin that it needs.
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split()) or "its plugin is not installed"
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise InputError(f"no device for JAX_PLATFORMS={platforms}: {reason}") from error


def use_cache() -> None:
    """Keeps compiled programs in `$JAX_COMPILATION_CACHE_DIR`, or in the user's cache folder.

    Those that took a second, or as long as the environment says.

    Raises:
        InputError: the user has no home folder.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(_cache() / "maskformer_jax"))
    if SHORTEST not in os.environ:
        jax.config.update(SHORTEST.lower(), 1.0)


def _cache() -> Path:
    """The user's cache folder; a name that is empty or relative counts as none."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError as error:
        raise InputError(
            "no home folder to keep compiled programs in: set HOME or JAX_COMPILATION_CACHE_DIR"
        ) from error
