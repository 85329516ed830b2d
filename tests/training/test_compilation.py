"""What the environment says of JAX is undone, or refused in one line."""

import jax
import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.training import compilation

INHERITED = {
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_transfer_guard": "disallow",
    "jax_transfer_guard_host_to_device": "disallow",
    "jax_default_prng_impl": "rbg",
}


@pytest.fixture
def changed():
    """`changed(name, value)` changes a setting of JAX until the end of the test."""
    before = {}

    def change(name, value):
        before.setdefault(name, getattr(jax.config, name))
        jax.config.update(name, value)

    yield change
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("name", INHERITED)
def test_inherited_settings_are_undone(changed, name):
    change_to, usual = INHERITED[name], getattr(jax.config, name)
    changed(name, change_to)
    assert getattr(jax.config, name) == change_to != usual
    compilation.settle()
    assert getattr(jax.config, name) in (usual, "allow")


PROBLEMS = [
    (RuntimeError("Unable to initialize backend 'cuda':\n\nno device"), "Unable to .*: no device"),
    (AssertionError(), "its plugin is not installed"),
]


@pytest.mark.parametrize(("problem", "message"), PROBLEMS)
def test_a_platform_that_is_not_there_is_one_line(monkeypatch, problem, message):
    def devices():
        raise problem

    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(InputError, match=f"^no device for JAX_PLATFORMS=cuda: {message}$"):
        compilation.settle()


CACHES = [
    ({"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/maskformer_jax"),
    ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/maskformer_jax"),
    ({"XDG_CACHE_HOME": "here"}, "/home/me/.cache/maskformer_jax"),
    ({"JAX_COMPILATION_CACHE_DIR": "/mine"}, "untouched"),
    ({"JAX_COMPILATION_CACHE_DIR": ""}, "/home/me/.cache/maskformer_jax"),
    ({compilation.SHORTEST: "0.05"}, "/home/me/.cache/maskformer_jax"),
]


@pytest.mark.parametrize(("environment", "folder"), CACHES)
def test_compiled_programs_go_to_the_cache_of_the_user(monkeypatch, changed, environment, folder):
    changed("jax_compilation_cache_dir", "untouched")
    changed("jax_persistent_cache_min_compile_time_secs", 0.05)
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME", compilation.SHORTEST):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    compilation.use_cache()
    assert jax.config.jax_compilation_cache_dir == folder
    kept = 0.05 if compilation.SHORTEST in environment else 1.0
    assert jax.config.jax_persistent_cache_min_compile_time_secs == kept


def test_without_a_home_folder_is_one_line(monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(InputError, match=r"^no home folder .*: set HOME"):
        compilation.use_cache()
