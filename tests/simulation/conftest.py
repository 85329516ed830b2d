"""Small productions without multi-parton interactions, and decay chains made by hand."""

import numpy as np
import pytest

from maskformer_jax.simulation import pileup, shards
from maskformer_jax.simulation.config import (
    BalanceConfig,
    BeamConfig,
    OutputConfig,
    PileUpConfig,
    ProcessConfig,
    SampleConfig,
    SimulationConfig,
)
from maskformer_jax.simulation.events import Particles

# Soft collisions need multi-parton interactions, which take seconds to start; hard ones don't.
FEW_PILEUP = PileUpConfig(
    mean=20.0,
    pool_events=60,
    settings=["HardQCD:all = on", "PhaseSpace:pTHatMin = 3.", "PartonLevel:MPI = off"],
)
EVENTS = 500


@pytest.fixture(scope="session")
def small():
    """`small(**sections)`: a production of few t-tbar events, quickly made."""

    def config(**sections) -> SimulationConfig:
        defaults = {
            "jets": 60,
            "shard_events": 60,
            "batch_events": 25,
            "beam": BeamConfig(pythia=["PartonLevel:MPI = off"]),
            "pileup": FEW_PILEUP,
            "processes": {"ttbar": ProcessConfig(["Top:gg2ttbar = on", "Top:qqbar2ttbar = on"])},
            "samples": {
                "train": SampleConfig(1.0, "balanced"),
                "test": SampleConfig(1.0, "natural"),
            },
            "balance": BalanceConfig(pt_edges=[20.0, 60.0, 1000.0], eta_edges=[0.0, 2.5]),
            "output": OutputConfig(chunk_jets=16),
        }
        return SimulationConfig(**defaults | sections)

    return config


@pytest.fixture(scope="session")
def shard(small):
    """`EVENTS` t-tbar events the whole way, as the tables of one shard."""
    config = small(shard_events=EVENTS, batch_events=100)
    return shards.simulate(config, "test", 0, pileup.make_pool(config, 3))


@pytest.fixture(scope="session")
def decay_chain():
    """`decay_chain(rows)`: particles of one event from (PDG number, row of the parent or None,
    pT, eta, phi, vertex) each; those without children are stable."""

    def make(rows) -> Particles:
        pdg, parent, pt, eta, phi, vertex = zip(*rows, strict=True)
        pt, eta, phi = (np.array(values, float) for values in (pt, eta, phi))
        parent = np.array([-1 if row is None else row for row in parent])
        momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
        return Particles(
            event=np.zeros(len(pt), int),
            index=np.arange(len(pt)),
            parent=parent,
            pdg_id=np.array(pdg),
            stable=~np.isin(np.arange(len(pt)), parent),
            momentum=momentum,
            energy=np.linalg.norm(momentum, axis=1),
            mass=np.zeros(len(pt)),
            vertex=np.array(vertex, float),
            num_events=1,
        )

    return make
