"""Numbers drawn from what a thing is, not from when it comes: the same in any order and batch.

A counter-based generator (Salmon et al. 2011, «Parallel random numbers: as easy as 1, 2, 3»)
on the finaliser of SplitMix64 (Steele et al. 2014, fig. 13).
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Hashes = NDArray[np.uint64]

HIGHEST = np.uint64(2**64 - 1)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Purpose(IntEnum):
    """Mixed in first, so that different uses of one seed are independent."""

    WEIGHTS = 1
    EXAMPLES = 2
    SAMPLE = 3
    SURFACE = 4
    ROWS = 5
    GROUPS = 6


def mixed(start: ArrayLike, *parts: ArrayLike) -> Hashes:
    """Uniform 64 bits for each combination of integers, uint64 of the parts' common shape.

    `mixed(mixed(a, b), c)` equals `mixed(a, b, c)`. A different order is a different hash.
    """
    found: Hashes = np.asarray(start).astype(np.uint64)
    # Overflow is meant: arithmetic modulo 2^64.
    with np.errstate(over="ignore"):
        for part in parts:
            found = (found ^ np.asarray(part).astype(np.uint64)) + _STEP
            found = (found ^ (found >> np.uint64(30))) * _FIRST
            found = (found ^ (found >> np.uint64(27))) * _SECOND
            found = found ^ (found >> np.uint64(31))
    return found


def rank(text: str) -> int:
    """A place in an order of all texts that has nothing to do with what they say."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
