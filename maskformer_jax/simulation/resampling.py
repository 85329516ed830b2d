"""Which jets of the shards go into a file: the first ones, or equal numbers of each flavour."""

import numpy as np

from maskformer_jax.simulation.config import FLAVOURS, BalanceConfig
from maskformer_jax.simulation.events import MEV

NUM_FLAVOURS = len(FLAVOURS)


def cells(jets: np.ndarray, config: BalanceConfig) -> np.ndarray:
    """`[n]` the cell in pT and abs(eta) of each jet, -1 outside of all."""
    pt = np.searchsorted(config.pt_edges, jets["pt_btagJes"] / MEV, side="right") - 1
    eta = np.searchsorted(config.eta_edges, np.abs(jets["eta_btagJes"]), side="right") - 1
    rows, columns = len(config.pt_edges) - 1, len(config.eta_edges) - 1
    inside = (pt >= 0) & (pt < rows) & (eta >= 0) & (eta < columns)
    return np.where(inside, pt * columns + eta, -1)


def count(jets: np.ndarray, config: BalanceConfig) -> np.ndarray:
    """`[flavours, cells + 1]` jets; those outside of all cells are counted last."""
    size = (len(config.pt_edges) - 1) * (len(config.eta_edges) - 1) + 1
    index = jets["flavour_label"].astype(np.int64) * size + cells(jets, config) % size
    return np.bincount(index, minlength=NUM_FLAVOURS * size).reshape(NUM_FLAVOURS, size)


def available(counts: np.ndarray, flavours: str) -> int:
    """How many jets a file can have: all, or three times the rarest flavour of each cell."""
    if flavours == "natural":
        return int(counts.sum())
    return NUM_FLAVOURS * int(counts[:, :-1].min(axis=0).sum())


def size_of(jets: int, flavours: str) -> int:
    """Jets that a file will have: `jets`, or the next multiple of the number of flavours."""
    return jets if flavours == "natural" else -(-jets // NUM_FLAVOURS) * NUM_FLAVOURS


def quotas(counts: np.ndarray, wanted: int) -> np.ndarray:
    """Jets of each flavour to be taken from each cell, in proportion to the rarest flavour there.

    Args:
        counts: `[flavours, cells + 1]`.
        wanted: of each flavour, at most what is available.

    Returns:
        `[cells]` whole numbers that sum to `wanted`, largest remainders rounded up.
    """
    rarest = counts[:, :-1].min(axis=0)
    exact = rarest * (wanted / rarest.sum())
    quota = np.floor(exact).astype(np.int64)
    missing = wanted - quota.sum()
    order = np.argsort(-(exact - quota), kind="stable")
    open_cells = order[quota[order] < rarest[order]]
    quota[open_cells[:missing]] += 1
    return quota


def choose(
    flavour: np.ndarray, cell: np.ndarray, counts: np.ndarray, wanted: int, seed: int
) -> np.ndarray:
    """`[n]` True for the jets drawn, without replacement, so that flavours agree in every cell.

    Args:
        flavour: `[n]` index of the flavour of each jet.
        cell: `[n]` its cell, -1 for none.
        counts: `[flavours, cells + 1]` of these jets.
        wanted: jets of each flavour.
        seed: of the draw.
    """
    quota = quotas(counts, wanted)
    rng = np.random.default_rng(seed)
    group = np.where(
        cell >= 0, flavour.astype(np.int64) * len(quota) + cell, NUM_FLAVOURS * len(quota)
    )
    order = np.lexsort((rng.random(len(group)), group))
    ranked = group[order]
    rank = np.arange(len(ranked)) - np.searchsorted(ranked, ranked)
    limit = np.append(np.tile(quota, NUM_FLAVOURS), 0)
    chosen = np.zeros(len(group), bool)
    chosen[order[rank < limit[ranked]]] = True
    return chosen
