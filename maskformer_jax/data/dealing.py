"""Jets dealt to rows that are limited by one width or by several."""

import heapq
from collections.abc import Sequence

import numpy as np

# Rows at which a jet is looked for room, where several widths limit them.
LOOKED_AT = 8


def sizes(needs: np.ndarray, widths: Sequence[int]) -> np.ndarray:
    """How large each jet is: the largest share that it needs of any width of a row, `[k]`.

    Args:
        needs: `[k, S]` what each jet needs of each width.
        widths: S widths of a row.
    """
    return needs[:, 0] if len(widths) == 1 else (needs / widths).max(axis=1)


def deal(
    needs: np.ndarray, rows: int, seats: int, widths: Sequence[int], *, all_or_none: bool = False
) -> np.ndarray:
    """Place of each jet, row times `seats` plus seat, or -1 for one that waits.

    A jet goes to the emptiest row in which everything fits. The emptiest row is the one whose
    fullest width is least full, as a share of that width; of several such rows, the first. With
    several widths the `LOOKED_AT` emptiest are looked at.

    Args:
        needs: `[k, S]` what each jet needs of each width, the largest jet first.
        rows: rows of a part.
        seats: jets of a row.
        widths: S widths of a row.
        all_or_none: with several widths, end at the first jet that waits, as all after it do then.
    """
    if len(widths) == 1:
        return _deal_one(needs[:, 0].tolist(), rows, seats, widths[0])
    return _deal_several(needs.tolist(), rows, seats, widths, all_or_none)


def _deal_one(counts: list[int], rows: int, seats: int, width: int) -> np.ndarray:
    """Place of each jet, row times `seats` plus seat, or -1; for rows of one width.

    Args:
        counts: constituents of the jets, the largest first.
        rows: rows of a part.
        seats: jets of a row.
        width: constituents of a row.
    """
    places: list[int] = []
    # The next place of the rows that have one, by the constituents that they hold. A row that takes
    # a jet without any is as empty as before and is looked at again.
    free: list[list[int]] = [[] for _ in range(width + 1)]
    free[0] = list(range(0, rows * seats, seats))
    for held in range(width + 1):
        while free[held]:
            while len(places) < len(counts) and held + counts[len(places)] > width:
                places.append(-1)
            takers, free[held] = sorted(free[held]), []
            # The last takers may find no jet.
            for place, count in zip(takers, counts[len(places) :], strict=False):
                places.append(place)
                if (place + 1) % seats:
                    free[held + count].append(place + 1)
    return np.array(places + [-1] * (len(counts) - len(places)))


def _deal_several(
    needs: list[list[int]], rows: int, seats: int, widths: Sequence[int], all_or_none: bool
) -> np.ndarray:
    """Place of each jet, for rows of several widths, from a heap of the rows with a seat left."""
    held = [[0] * len(widths) for _ in range(rows)]
    free = [(0.0, place) for place in range(0, rows * seats, seats)]
    places = []
    for jet in needs:
        found, passed = -1, []
        while free and found < 0 and len(passed) < LOOKED_AT:
            full, place = heapq.heappop(free)
            sums = [a + b for a, b in zip(held[place // seats], jet, strict=True)]
            if all(a <= b for a, b in zip(sums, widths, strict=True)):
                found, held[place // seats] = place, sums
                if (place + 1) % seats:
                    share = max(a / b for a, b in zip(sums, widths, strict=True))
                    heapq.heappush(free, (share, place + 1))
            else:
                passed.append((full, place))
        for entry in passed:
            heapq.heappush(free, entry)
        places.append(found)
        if all_or_none and found < 0:
            break
    return np.array(places + [-1] * (len(needs) - len(places)), int)
