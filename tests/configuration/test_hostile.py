"""Under an audit hook: loading imports nothing, starts nothing and opens what was named alone."""

import re

import pytest
import shapes
from campaign.configurations import KINDS, WAYS, all_options, document, hostile, tried, watched

from maskformer_jax import config as configuration
from maskformer_jax.configuration import load, safe_yaml
from maskformer_jax.data import Scaling, load_class_weights
from maskformer_jax.data.salt import load_norm
from maskformer_jax.errors import InputError

SMALL = (shapes.Root, shapes.TABLES)


@pytest.mark.parametrize("way", WAYS[:3])
def test_every_option_with_every_hostile_value(way, tmp_path):
    """Of a small configuration that has every shape; the campaign draws from the large ones."""
    options = all_options(*SMALL)
    assert len(options) > 20
    for option in options:
        if way != "an override" or option.path not in ("config", "help"):
            assert tried(option, way, *SMALL, tmp_path)[0], option


@pytest.mark.parametrize("name", [*KINDS, "small"])
def test_the_hostile_value_is_read_where_it_stands(name, tmp_path):
    """What is beside it is right: a list of maps, which no option takes, is refused by its path."""
    kind, tables = SMALL if name == "small" else KINDS[name]
    file = tmp_path / "a.yaml"
    for option in all_options(kind, tables):
        file.write_text(document(option, "[{class_path: antigravity.fly}]"))
        with pytest.raises(InputError) as caught:
            load([f"--config={file}"], kind, tables=tables)
        # The overrides of a study are read with its trainings.
        read = option.path.endswith("overrides.x") or f"`{option.path}" in str(caught.value)
        assert read, caught.value


def test_statistics_weights_and_normalisation(tmp_path):
    """Files of other programs and of run folders beside the configuration."""
    file, here = tmp_path / "a.yaml", tmp_path / "here"
    for text in hostile(here):
        for content in (
            text,
            f"jets: {text}",
            f"jets: {{x: {text}}}",
            f"jets: {{x: {{mean: {text}}}}}",
        ):
            file.write_text(content)
            for read in (
                load_norm,
                Scaling.load,
                lambda p: load_class_weights(p, "jets", "x", ["a"]),
            ):
                held, said = watched(lambda read=read: read(file), file)
                assert held and said != "loaded", said
    assert not here.exists()


def test_a_saved_file_names_no_other(tmp_path):
    file = tmp_path / "config.yaml"
    for text in ("base: other.yaml", "config: other.yaml", "print_config: true", "help: true"):
        file.write_text(text)
        held, said = watched(lambda: configuration.load_saved(file), file)
        assert held and re.search(r"config.yaml: `", said)


def test_the_hook_sees_what_it_must(tmp_path):
    """A parser that makes objects is caught, so that silence means something."""
    import yaml

    (tmp_path / "x").write_text("")
    text = f"!!python/object/apply:builtins.open [{tmp_path / 'x'}]"
    held, said = watched(lambda: yaml.unsafe_load(text).close())
    assert not held and said.startswith("did ('open'")
    held, said = watched(lambda: safe_yaml.parse(text))
    assert held and "tags are not read" in said
