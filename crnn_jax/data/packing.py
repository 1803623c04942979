"""Packing sequences of any lengths into lanes: which of a batch's places share a lane.

A batch has B places, and the sequences that can stand in place i have at most `longest_B[i]`
frames (`epochs.py`). So the lanes can be planned once, for all batches: each of G groups (a
micro-batch of a device) gets as many places and about as many frames, and its places are spread
over N lanes of T steps. What a batch's sequences lack of the longest is left empty. Where frames
are strips of lines, a gap follows each, so that no convolution sees two lines.
"""

import dataclasses
import heapq
from collections.abc import Iterable

import numpy as np
from jax import Array

from crnn_jax.data.lanes import Lanes

FULL = 0.95
"""Share of the steps that is to be filled; with more lanes, which are wanted, fewer may be."""

GAP = 1
"""Empty strips between two lines: no kernel reaches further (`columns.check_columns`)."""


@dataclasses.dataclass(frozen=True)
class Packing:
    """The plan. P is the most places of a lane, B here the places of a group.

    Attributes:
      steps: T, steps of every lane.
      places_GxB: the place in the batch of each place of a group.
      lanes_GxNxP: the places (of the group) in each lane, one behind the other; -1 for none.
      gap: steps that are left empty between two of them.
    """

    steps: int
    places_GxB: np.ndarray
    lanes_GxNxP: np.ndarray
    gap: int = 0

    def lanes(self, group: int | Array, length_B: np.ndarray | Array) -> Lanes:
        """The lanes of a group, whose sequences have these lengths; 0 for one that is missing.

        Works on NumPy arrays, or on those of JAX in a compiled function.
        """
        xp = length_B.__array_namespace__()
        places_NxP = xp.asarray(self.lanes_GxNxP)[group]
        length_NxP = xp.where(places_NxP >= 0, length_B[places_NxP], 0)
        room_NxP = length_NxP + self.gap * (length_NxP > 0)
        first_NxP = xp.cumsum(room_NxP, axis=1) - room_NxP
        frame_TxNxP = xp.arange(self.steps)[:, None, None] - first_NxP[None]
        inside_TxNxP = (frame_TxNxP >= 0) & (frame_TxNxP < length_NxP[None])
        real_TxN = inside_TxNxP.any(axis=2)

        def pick(values_TxNxP: np.ndarray | Array) -> np.ndarray | Array:
            return xp.where(inside_TxNxP, values_TxNxP, 0).sum(axis=2).astype(xp.int32)

        sequence_TxN = xp.where(real_TxN, pick(places_NxP[None]), -1).astype(xp.int32)
        frame_TxN = pick(frame_TxNxP)
        last_TxN = pick(frame_TxNxP == length_NxP[None] - 1) > 0
        # Where each place is, by sorting: the places that are none come first.
        order_B = xp.argsort(places_NxP.reshape(-1))[-len(length_B) :]
        return Lanes(
            sequence_TxN,
            frame_TxN,
            real_TxN & (frame_TxN == 0),
            last_TxN,
            first_NxP.reshape(-1)[order_B].astype(xp.int32),
            (order_B // places_NxP.shape[1]).astype(xp.int32),
            length_B,
            one_each=False,
        )


def fill(
    frames_TxNxHxWxC: np.ndarray,
    lanes: Lanes,
    places: Iterable[int],
    clips: Iterable[np.ndarray],
) -> None:
    """Write clips LxHxWxC into lanes, at these of their places."""
    for place, clip in zip(places, clips, strict=True):
        first = lanes.first_B[place]
        frames_TxNxHxWxC[first : first + len(clip), lanes.lane_B[place]] = clip


def pack(longest_B: np.ndarray, groups: int, gap: int = 0) -> Packing:
    """Plan the lanes of a batch.

    Args:
      longest_B: frames that each place must have room for.
      groups: G, a divisor of B.
      gap: steps to leave empty between the places of a lane.

    Returns:
      The plan with the most lanes of those that fill them to `FULL`, or the one that fills them
      best.
    """
    longest_B = longest_B + gap
    by_length = np.argsort(-longest_B, kind="stable")
    rounds = by_length.reshape(-1, groups)
    rounds[1::2] = rounds[1::2, ::-1]  # who chose last in a round is first in the next
    places_GxB = np.sort(rounds.T, axis=1)
    longest_GxB = longest_B[places_GxB]
    size = len(longest_B) // groups
    best = None
    for count in range(max(1, min(size, longest_B.sum() // (groups * longest_B.max()))), 0, -1):
        spread = [_spread(longest_B, count) for longest_B in longest_GxB]
        steps = max(max(used) for _, used in spread)
        filled = longest_B.sum() / (groups * count * steps)
        if best is None or filled > best[0]:
            best = (filled, steps, [lanes for lanes, _ in spread])
        if filled >= FULL:
            break
    assert best is not None, "one lane is always tried"
    _, steps, lanes = best
    most = max(len(lane) for group in lanes for lane in group)
    padded = [[lane + [-1] * (most - len(lane)) for lane in group] for group in lanes]
    return Packing(steps - gap, places_GxB, np.array(padded, np.int32), gap)


def _spread(longest_B: np.ndarray, count: int) -> tuple[list[list[int]], list[int]]:
    """Places in so many lanes, each in the emptiest, the longest first; and the steps of each."""
    lanes: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, n) for n in range(count)]
    for place in np.argsort(-longest_B, kind="stable").tolist():
        used, n = heapq.heappop(emptiest)
        lanes[n].append(place)
        heapq.heappush(emptiest, (used + int(longest_B[place]), n))
    return lanes, [used for used, _ in emptiest]
