from networks import exported

from maskformer_jax.export.check import compare
from maskformer_jax.export.stablehlo import runner, to_stablehlo


def test_the_program_says_what_jax_says_when_it_is_loaded(trained):
    function, names = exported(trained, tasks=["jet_class", "hadrons"])
    run = runner(to_stablehlo(function), function, names)
    assert "4 outputs of 6 jets agree" in compare(function, run, trained.config, names, 6)
