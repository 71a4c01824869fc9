"""summary.md: a run in words and one table, for whoever opens it without the app."""

from __future__ import annotations

import math
from collections.abc import Iterator

from app.recording.measures import Measures
from app.routing.references import reference
from app.routing.trace import RouterLayer, RoutingTrace, Stack

_MOST_TEXT = 2000
# Measure, heading, what has the level beside it.
_COLUMNS = (
    ("load_cv", "Load CV"),
    ("confidence", "Confidence"),
    ("token_entropy", "Router entropy"),
)
_FILES = (
    ("routing.csv", "one row per router layer, token and expert"),
    ("routing.parquet", "the same, typed: `pandas.read_parquet(…)`"),
    ("analysis.json", "the same and the measures, as the API gives it"),
    ("metrics.json", "every measure with its definition, n and reference level"),
    ("trace.npz", "all arrays as they were: `numpy.load(…)`, nothing pickled"),
    ("figures/", "the diagrams; `plotly.io.from_json(…)` reads the JSON"),
)


def summary(trace: RoutingTrace, measures: Measures) -> str:
    """The run as markdown: what was read, by which model, and what its routers did."""
    return "\n".join(_lines(trace, measures)) + "\n"


def _lines(trace: RoutingTrace, measures: Measures) -> Iterator[str]:
    provenance = trace.provenance
    yield "# Where each token went"
    yield ""
    yield from _quoted("Text", trace.text)
    if trace.target is not None:
        yield from _quoted("Target, forced on the decoder", trace.target)
    if trace.output is not None:
        yield from _quoted("Output, generated", trace.output)
    yield f"- Model: {_cell(trace.model.id)}, {trace.model.architecture}"
    yield f"- Revision: {trace.model.revision}"
    told = [str(provenance[name]) for name in ("mode", "dtype", "device") if name in provenance]
    if told:
        yield f"- Run: {', '.join(told)}"
    libraries = provenance.get("libraries", {})
    if libraries:
        yield f"- With: {', '.join(f'{name} {value}' for name, value in libraries.items())}"
    for stack in trace.stacks:
        yield ""
        yield from _stack(trace, stack, measures)
    yield ""
    yield (
        "Load CV is the standard deviation of the experts' loads over their mean, 0 at perfect "
        "balance. Confidence is the mean probability of the likeliest expert. Router entropy is "
        "that of the probabilities, 1 for an undecided router. In brackets stands the level of a "
        "router that chooses by chance or is undecided. `metrics.json` has every measure."
    )
    yield ""
    yield "## Files"
    yield ""
    yield from (f"- `{name}`: {what}" for name, what in _FILES)


def _stack(trace: RoutingTrace, stack: Stack, measures: Measures) -> Iterator[str]:
    yield f"## {stack.capitalize()}: {len(trace.sequences[stack])} tokens (n)"
    yield ""
    headings = ["Router layer", "Experts", "Chosen", *(name for _, name in _COLUMNS), "Dropped"]
    yield f"| {' | '.join(headings)} |"
    yield "|---|" + "---:|" * (len(headings) - 1)
    for layer in trace.stack_layers(stack):
        yield f"| {' | '.join(_row(layer, measures.layers[layer.name]))} |"


def _row(layer: RouterLayer, values: dict[str, float]) -> Iterator[str]:
    yield _cell(layer.name)
    yield str(layer.num_experts)
    yield str(layer.top_k)
    for name, _ in _COLUMNS:
        level = reference(name, layer, values)
        beside = f" ({_number(level)})" if level is not None else ""
        yield _number(values[name]) + beside
    yield f"{int(layer.dropped.sum())} of {len(layer.dropped)}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "undefined"


def _cell(text: str) -> str:
    """A text that can't end a cell or become a link."""
    return f"`{text.replace('`', 'ˋ').replace('|', '¦')}`"


def _quoted(heading: str, text: str) -> Iterator[str]:
    """A text as it is, in a block that nothing in it can end."""
    shown = text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…"
    longest = 0
    run = 0
    for character in shown:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    yield f"{heading}:"
    yield ""
    yield f"{fence}text"
    yield shown
    yield fence
    yield ""
