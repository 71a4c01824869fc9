"""Whether a routing that was computed again is the same, to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.routing.trace import RouterLayer, RoutingTrace, Stack, TokenSequence

_EXACT = ("logits", "probabilities", "experts", "weights", "dropped")
_UNSAID = "not recorded"
_LONGEST = 60
# Older traces did not say.
_LATE = ("python", "threads")


@dataclass(frozen=True)
class Reproduction:
    """What came of computing a trace again.

    `differences` and `environment` are short phrases: how the results differ, and what was
    not as it had been. `max_logit_difference` and `changed_experts` (tokens of a layer whose
    experts differ as sets) are over the `n` tokens of all layers that both hold; `sizes` has
    stack, tokens and router layers of the recorded one.
    """

    identical: bool
    differences: tuple[str, ...]
    environment: tuple[str, ...]
    max_logit_difference: float
    changed_experts: int
    n: int
    sizes: tuple[tuple[Stack, int, int], ...]


def reproduce(old: RoutingTrace, new: RoutingTrace) -> Reproduction:
    """Compares a recorded trace with one computed again, numbers by their bits.

    Places of tokens in the text are no result: older traces lack them.
    """
    differences = [*_text_differences(old, new)]
    for stack in old.stacks:
        if stack in new.stacks:
            differences += _token_differences(stack, old.sequences[stack], new.sequences[stack])
    found = {layer.name: layer for layer in new.layers}
    differences += [f"{la.name}: not there any more" for la in old.layers if la.name not in found]
    known = {layer.name for layer in old.layers}
    differences += [f"{la.name}: was not there" for la in new.layers if la.name not in known]
    pairs = [(layer, found[layer.name]) for layer in old.layers if layer.name in found]
    largest, changed, n = 0.0, 0, 0
    for before, after in pairs:
        differences += _layer_differences(before, after)
        if before.logits.shape == after.logits.shape:
            largest = max(largest, _apart(before.logits, after.logits))
            changed += _changed(before, after)
            n += len(before.experts)
    return Reproduction(
        identical=not differences,
        differences=tuple(differences),
        environment=tuple(_environment(old, new)),
        max_logit_difference=largest,
        changed_experts=changed,
        n=n,
        sizes=tuple((s, len(old.sequences[s]), len(old.stack_layers(s))) for s in old.stacks),
    )


def _text_differences(old: RoutingTrace, new: RoutingTrace) -> Iterator[str]:
    for name in ("text", "target", "output"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name}: {_short(before)} → {_short(after)}"
    for stack in old.stacks:
        if stack not in new.stacks:
            yield f"the {stack} was not traced again"
    for stack in new.stacks:
        if stack not in old.stacks:
            yield f"the {stack} was not traced before"


def _token_differences(stack: Stack, old: TokenSequence, new: TokenSequence) -> Iterator[str]:
    if len(old) != len(new):
        yield f"{stack}: {len(old)} tokens → {len(new)} tokens"
        return
    names = {
        "token_ids": "ids",
        "special": "marks of special tokens",
        "generated": "marks of generated tokens",
    }
    if count := sum(a != b for a, b in zip(old.tokens, new.tokens, strict=True)):
        yield f"{stack}: {count} of {len(old)} tokens are written otherwise"
    for name, called in names.items():
        if count := int((getattr(old, name) != getattr(new, name)).sum()):
            yield f"{stack}: {called} of {count} of {len(old)} tokens differ"


def _layer_differences(old: RouterLayer, new: RouterLayer) -> Iterator[str]:
    for name in ("stack", "block", "score_function", "selection", "capacity"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{old.name}: {name.replace('_', ' ')} {before} → {after}"
    if (old.logits.shape, old.experts.shape) != (new.logits.shape, new.experts.shape):
        yield f"{old.name}: {_shape(old)} → {_shape(new)}"
        return
    apart = [
        name for name in _EXACT if getattr(old, name).tobytes() != getattr(new, name).tobytes()
    ]
    if not apart:
        return
    parts = []
    for name in ("logits", "probabilities", "weights"):
        if name in apart:
            by = _apart(getattr(old, name), getattr(new, name))
            parts.append(
                f"{name} differ by at most {by:.2g}"
                if by
                else f"{name} differ in the sign of a zero"
            )
    parts.append(f"{_changed(old, new)} of {len(old.experts)} tokens chose another expert")
    if "experts" in apart and not _changed(old, new):
        parts.append("experts stand in another order")
    if lost := int((old.dropped != new.dropped).sum()):
        parts.append(f"{lost} were dropped in one of them only")
    yield f"{old.name}: {', '.join(parts)}"


def _apart(old: NDArray[np.float32], new: NDArray[np.float32]) -> float:
    return float(np.abs(old.astype(np.float64) - new).max())


def _changed(old: RouterLayer, new: RouterLayer) -> int:
    if old.experts.shape != new.experts.shape:
        return len(old.experts)
    return int(np.any(np.sort(old.experts) != np.sort(new.experts), axis=1).sum())


def _shape(layer: RouterLayer) -> str:
    return f"{len(layer.experts)} tokens, top-{layer.top_k} of {layer.num_experts} experts"


def _environment(old: RoutingTrace, new: RoutingTrace) -> Iterator[str]:
    names = {"id": "model", "revision": "weights", "architecture": "architecture"}
    for name, called in names.items():
        before, after = getattr(old.model, name), getattr(new.model, name)
        if before != after:
            yield f"{called} {before} → {after}"
    before, after = dict(flat(old.provenance)), dict(flat(new.provenance))
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in before and name in _LATE:
            continue
        if before.get(name) != after.get(name):
            yield f"{name} {_short(before.get(name, _UNSAID))} → {_short(after.get(name, _UNSAID))}"


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested values under their own names, such as «torch» of the libraries."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value)
        else:
            yield name, value


def _short(value: object) -> str:
    if value is None:
        return "none"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
