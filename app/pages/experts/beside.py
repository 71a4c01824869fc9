"""Two passes side by side: what can be compared, in words."""

from __future__ import annotations

from app.corpus.atlases import Atlas
from app.corpus.library import Pass
from app.figures.labels import count_of, layer_label


def comparable(a: Pass, b: Pass, of_a: Atlas, of_b: Atlas, layer: int, column: str) -> list[str]:
    """What two passes share, and what keeps their numbers from meaning the same."""
    names = [
        f"{letter} is «{found.about.order.name}», {found.about.order.model}, "
        f"{count_of(atlas.counts.documents, 'document')}, "
        f"{count_of(atlas.counts.tokens, 'token')}."
        for letter, found, atlas in (("a", a, of_a), ("b", b, of_b))
    ]
    said = [" ".join(names), expert_numbers(a, b, of_a, of_b)]
    if layer >= len(of_b.counts.shape):
        said.append(f"b has no {layer_label(layer).lower()}.")
    if column and column not in of_b.counts.labels:
        said.append(f"b has no label {column}.")
    return said


def expert_numbers(a: Pass, b: Pass, of_a: Atlas, of_b: Atlas) -> str:
    """Whether the same number means the same expert in both."""
    revisions = [found.about.model.get("revision") for found in (a, b)]
    if revisions[0] == revisions[1]:
        return "Both passes are of the same weights: expert numbers mean the same."
    if of_a.counts.shape == of_b.counts.shape:
        return (
            "The models have the same layers and experts: expert numbers mean the same if both "
            "are checkpoints of one training, and nothing otherwise."
        )
    return "The models differ in layers or experts: expert numbers have nothing in common."
