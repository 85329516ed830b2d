"""Pythia events as flat arrays: one row a particle, the events one after the other."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskformer_jax.errors import InputError

# Pythia's seeds end at 900,000,000.
MAX_SEED = 900_000_000
# Pythia's documentation, "Particle Properties": 91 to 99 are products of decays.
DECAY_STATUS = 91
NEUTRINOS = (12, 14, 16)
MEV = 1000.0


class Particles(NamedTuple):
    """Particles of several events, with every intermediate one.

    Attributes:
        event: `[n]` number of the event, from 0, rising.
        index: `[n]` row inside its event, which is Pythia's index and the barcode of the files.
        parent: `[n]` row in these arrays of the particle that decayed into it, else -1.
        pdg_id: `[n]`.
        stable: `[n]` True for the final state.
        momentum: `[n, 3]` [GeV].
        energy: `[n]` [GeV].
        mass: `[n]` [GeV].
        vertex: `[n, 3]` where it was produced; the collision is at the origin [mm].
        num_events: events, also those without a particle.
    """

    event: np.ndarray
    index: np.ndarray
    parent: np.ndarray
    pdg_id: np.ndarray
    stable: np.ndarray
    momentum: np.ndarray
    energy: np.ndarray
    mass: np.ndarray
    vertex: np.ndarray
    num_events: int


def generator(settings: Sequence[str], energy: float, seed: int) -> Any:
    """A Pythia that is ready to generate, its output to the terminal switched off.

    Args:
        settings: lines that Pythia reads.
        energy: of the two protons together [GeV].
        seed: from 1 to `MAX_SEED`.

    Raises:
        InputError: pythia8mc is not installed, or a line means nothing to Pythia.
    """
    try:
        import pythia8mc
    except ImportError as error:
        raise InputError(
            "pythia8mc is not installed: pip install -r requirements-simulate.txt"
        ) from error
    pythia = pythia8mc.Pythia("", False)
    ours = ("Print:quiet = on", f"Beams:eCM = {energy!r}", "Random:setSeed = on")
    for line in (*ours, f"Random:seed = {seed}", *settings):
        if not pythia.readString(line, False):
            raise InputError(f"Pythia does not know the setting, or its value: {line!r}")
    if not pythia.init():
        raise InputError(f"Pythia can't start with the settings {list(settings)}")
    return pythia


def batches(pythia: Any, num_events: int, size: int) -> Iterator[Particles]:
    """`num_events` events, at most `size` at a time.

    Raises:
        InputError: Pythia gave no events.
    """
    for start in range(0, num_events, size):
        wanted = min(size, num_events - start)
        particles = flatten(pythia.nextBatch(wanted), wanted)
        if len(particles.event) == 0:
            raise InputError("Pythia generates no events with these settings")
        yield particles


def flatten(batch: Any, num_events: int) -> Particles:
    """The particles of Pythia's awkward arrays, one after the other.

    Args:
        batch: what `nextBatch` returns; it may hold fewer events than it was asked for.
        num_events: that were asked for.
    """
    import awkward as ak

    table = batch.prt
    counts = ak.to_numpy(ak.num(table.id)).astype(np.int64)
    first = np.cumsum(counts) - counts
    event = np.repeat(np.arange(len(counts)), counts)

    def column(values: Any) -> np.ndarray:
        return ak.to_numpy(ak.flatten(values, axis=1))

    status = column(table.status)
    decayed = np.abs(status) >= DECAY_STATUS
    # No position means that it was produced in the collision itself.
    vertex = table.vProd
    position = [column(ak.fill_none(vertex[name], 0.0)) for name in ("px", "py", "pz")]
    return Particles(
        event=event,
        index=np.arange(len(event)) - first[event],
        parent=np.where(decayed, first[event] + column(table.mother1), -1),
        pdg_id=column(table.id),
        stable=status > 0,
        momentum=np.stack([column(table.p[name]) for name in ("px", "py", "pz")], axis=1),
        energy=column(table.p["e"]),
        mass=column(table.m),
        vertex=np.stack(position, axis=1),
        num_events=num_events,
    )


def nearest_ancestor(particles: Particles, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The first ancestor through decays that is wanted.

    Args:
        particles: of several events.
        rows: `[k]` particles whose ancestors are looked for, themselves not counted.
        wanted: `[n]` which particles count.

    Returns:
        `[k]` rows, -1 where there is none.
    """
    found = np.full(len(rows), -1)
    open_rows = np.arange(len(rows))
    current = particles.parent[rows]
    while True:
        alive = current >= 0
        open_rows, current = open_rows[alive], current[alive]
        if len(current) == 0:
            return found
        hit = wanted[current]
        found[open_rows[hit]] = current[hit]
        open_rows, current = open_rows[~hit], particles.parent[current[~hit]]


def transverse(momentum: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """pT [unit of the input], eta and phi [rad] of momenta `[n, 3]`; eta is finite."""
    pt = np.hypot(momentum[:, 0], momentum[:, 1])
    eta = np.arcsinh(momentum[:, 2] / np.maximum(pt, 1e-9))
    return pt, eta, np.arctan2(momentum[:, 1], momentum[:, 0])


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Angles brought into [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def digits(pdg_id: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three quark digits of PDG numbers, 0 for nuclei and what is no hadron."""
    code = np.abs(pdg_id)
    hadron = (code > 100) & (code < 10**9) & (code // 10 % 10 > 0)
    code = np.where(hadron, code, 0)
    return code // 1000 % 10, code // 100 % 10, code // 10 % 10


def heavy_flavour(pdg_id: np.ndarray) -> np.ndarray:
    """5 for b hadrons, 4 for c hadrons, 0 for the rest and for onia."""
    q1, q2, q3 = digits(pdg_id)
    heaviest = np.maximum(np.maximum(q1, q2), q3)
    onium = (q1 == 0) & (q2 == q3)
    return np.where((heaviest >= 4) & (heaviest <= 5) & ~onium, heaviest, 0)


def weakly_decaying(particles: Particles) -> np.ndarray:
    """`[n]` flavour, 5 or 4, of heavy hadrons that decay into none of the same flavour, else 0."""
    flavour = heavy_flavour(particles.pdg_id)
    child = np.flatnonzero((flavour > 0) & (particles.parent >= 0))
    parent = particles.parent[child]
    passed_on = np.zeros(len(flavour), bool)
    passed_on[parent[flavour[parent] == flavour[child]]] = True
    return np.where(passed_on, 0, flavour)
