"""Which lines reach Pythia."""

import re

import pytest

from maskformer_jax.errors import InputError
from maskformer_jax.simulation.config import BeamConfig, PileUpConfig, ProcessConfig
from maskformer_jax.simulation.pythia_settings import check_settings

GOOD = [
    "Top:gg2ttbar = on",
    "  PhaseSpace:pTHatMin=3.",
    "StringZ:aLund 0.68",
    "24:onIfAny = 1 2 3, 4 -5",
    "-24:onMode = off",
    "PDF:pSet = 13",
    "ParticleDecays:tau0Max = 1.5e+1",
]
# Line -> what is said. Pythia takes names of sections in any case, and blanks for the sign.
BAD = {
    "Init:plugins = {libevil.so::Evil}": "be of one of the sections",
    "init:Plugins evil.so::Evil": "be of one of the sections",
    "Beams:LHEF = events.lhe": "be of one of the sections",
    "SLHA:file = /etc/passwd": "be of one of the sections",
    "top:gg2ttbar = on": "did you mean `Top`?",
    "PDF:pSet = LHAPDF6:CT10": "set numbers, or on and off",
    "MultipartonInteractions:initFile = x": "set numbers, or on and off",
    "Top:gg2ttbar = on\nInit:plugins = x": "list lines `Section:name = value`",
    "24:names = a b": "set numbers, or on and off",
    "include = other.cmnd": "list lines",
    "! comment": "list lines",
    "": "list lines",
}


def test_numbers_and_switches_of_physics_pass():
    check_settings("settings", GOOD)


@pytest.mark.parametrize(("line", "message"), BAD.items())
def test_all_else_is_refused_in_every_section(line, message):
    for make in (ProcessConfig, lambda x: PileUpConfig(settings=x), lambda x: BeamConfig(pythia=x)):
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            make(["Top:gg2ttbar = on", line])
        assert "\n" not in str(caught.value)
