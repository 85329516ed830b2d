"""Which lines of a configuration reach Pythia: physics alone, as numbers and switches.

Pythia's settings may also name files to read and libraries to load (`Init:plugins`, `PDF:pSet` with
a name, `Beams:LHEF`, `MultipartonInteractions:initFile`), and a configuration must not.
"""

import re
from collections.abc import Sequence

from maskformer_jax.errors import check, nearest

SECTIONS = (
    *("BeamRemnants", "Bottomonium", "Charmonium", "ColourReconnection", "Diffraction"),
    *("ExcitedFermion", "HadronLevel", "HardQCD", "HiggsBSM", "HiggsSM", "LeptoQuark"),
    *("MultipartonInteractions", "NewGaugeBoson", "ParticleData", "ParticleDecays"),
    *("PartonLevel", "PDF", "PhaseSpace", "ProcessLevel", "PromptPhoton", "SecondHard"),
    *("SigmaProcess", "SigmaTotal", "SoftQCD", "SpaceShower", "StandardModel", "StringFlav"),
    *("StringPT", "StringZ", "TauDecays", "TimeShower", "Top", "Tune", "WeakBosonAndParton"),
    *("WeakBosonExchange", "WeakDoubleBoson", "WeakSingleBoson", "WeakZ0", "Wprime", "Zprime"),
)
# `Section:name = value` or `PDG number:property = value`.
LINE = re.compile(r" *([A-Za-z]\w*|-?[0-9]+):\w+ *[= ] *(.*?) *")
NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
VALUE = re.compile(rf"on|off|true|false|yes|no|{NUMBER}(?:(?: +| *, *){NUMBER})*")


def check_settings(option: str, lines: Sequence[str]) -> None:
    """Raises InputError unless the lines are about physics.

    Args:
        option: that holds them, for the message.
        lines: for Pythia.
    """
    for line in lines:
        found = LINE.fullmatch(line)
        check(found is not None, option, "list lines `Section:name = value`", line)
        section, value = found.groups()
        allowed = section in SECTIONS or section.lstrip("-").isdecimal()
        rule = f"be of one of the sections {', '.join(SECTIONS)}, or of a particle"
        check(allowed, option, f"{rule}{nearest(section, SECTIONS)}", line)
        check(VALUE.fullmatch(value) is not None, option, "set numbers, or on and off", line)
