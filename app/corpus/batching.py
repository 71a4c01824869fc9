"""Which documents go through the model together."""

from __future__ import annotations

from collections.abc import Sequence


def batches(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Places of documents, grouped by length, so that little is padded.

    A group has at most `most_tokens` tokens, padding included; a longer document goes alone.
    Every place is in exactly one group.
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if groups and (len(groups[-1]) + 1) * lengths[groups[-1][0]] <= most_tokens:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
