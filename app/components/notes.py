"""What must be known to read a trace right, in a few short sentences."""

from __future__ import annotations

from app.routing.capacity import APPROXIMATE
from app.routing.trace import RoutingTrace

_MOST_OUTPUT = 200


def notes(trace: RoutingTrace) -> str:
    """Mode, score function, and how capacity counts."""
    layers = trace.layers
    scores = sorted({layer.score_function for layer in layers})
    chosen = sorted({layer.selection for layer in layers})
    sentences = [f"Scores: {', '.join(scores)}; experts chosen by {', '.join(chosen)}."]
    if any("sigmoid" in name or "softplus" in name for name in scores):
        sentences.append("These scores don't sum to 1 over the experts.")
    mode, own = trace.provenance.get("mode"), trace.provenance.get("capacity")
    limited = any(layer.capacity is not None for layer in layers)
    if mode == "generated":
        made = int(sum(sequence.generated.sum() for sequence in trace.sequences.values()))
        ended = ", stopped" if trace.provenance.get("stopped") else ""
        sentences.append(f"{made} tokens generated{ended}, marked +.")
        if limited:
            sentences.append(
                "With a cache each step sees one token, so nothing is over capacity in the "
                "decoder; forced to the same text, tokens can be dropped."
            )
        if trace.output:
            sentences.append(f"They read «{_beginning(trace.output)}».")
    elif mode == "teacher-forced":
        sentences.append("The decoder reads the target text (teacher forcing).")
    if own is not None:
        room = f"{own} token{'s' if own > 1 else ''} per expert"
        how = trace.provenance.get("capacity_method")
        sentences.append(
            f"What if there was room for {room}: {how}."
            if how == APPROXIMATE
            else f"Run with room for {room} instead of the model's own."
        )
    told = trace.provenance.get("notes", [])
    return " ".join([*sentences, *(f"{note[:1].upper()}{note[1:]}." for note in told)])


def _beginning(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_OUTPUT else text[: _MOST_OUTPUT - 1] + "…"
