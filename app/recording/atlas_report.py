"""The atlas of a pass as one page that opens offline: numbers, figures, definitions. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

import plotly.io
from plotly.offline import get_plotlyjs

from app.corpus.atlas.experts import Estimate
from app.corpus.atlas.layer import LEAST_TOKEN_COUNT, ExpertAtlas, LayerAtlas
from app.corpus.atlases import Atlas
from app.corpus.library import Pass
from app.recording.atlas_files import best_labels

# Figures by name, for the themes «light» and «dark»: `information-COLUMN`,
# `risk-LAYER-COLUMN`, `similarity-LAYER`.
Draw = Callable[[Atlas], Mapping[str, Mapping[str, Mapping[str, Any]]]]

_TOKENS = 12

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --muted: #59626e;
  --rule: #d9dde2; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --text: #e6e9ed;
  --muted: #9aa4b0; --rule: #333a42; } }
body { margin: 0 auto; max-width: 1280px; padding: 16px 24px 48px; background: var(--ground);
  color: var(--text); font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin-top: 32px; } h3 { font-size: 14px; }
p, dd { max-width: 90ch; } dt { font-weight: 600; } dd { margin: 0 0 8px; }
.quiet, caption, thead th { color: var(--muted); font-size: 12px; }
.wide { overflow: auto; } .wide th, .wide td { overflow-wrap: normal; }
.map { max-width: 680px; } table { border-collapse: collapse; }
th, td { padding: 4px 16px 4px 0; text-align: left; vertical-align: top; font-weight: 400;
  border-bottom: 1px solid var(--rule); }
code { font-family: ui-monospace, Menlo, Consolas, monospace; }
"""

_SCRIPT = """
const drawn = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
function draw() {
  for (const [name, figure] of Object.entries(drawn[dark.matches ? "dark" : "light"])) {
    const place = document.getElementById(name);
    const options = { displaylogo: false, showSendToCloud: false, responsive: true };
    if (place) Plotly.react(place, figure.data, figure.layout, options);
  }
}
dark.addEventListener("change", draw);
draw();
"""

_DEFINITIONS = (
    (
        "Load",
        "Share of a layer’s assignments that the expert was given; all sum to 1, and 1/N is an "
        "even share. A token that found no room counts in the load of the expert that its router "
        "chose.",
    ),
    (
        "Confidence",
        "Mean over the expert’s tokens of the largest probability that the router gave them.",
    ),
    ("Drop rate", "Share of the expert’s assignments that found no room in it."),
    (
        "Risk ratio",
        "P(expert | value) / P(expert): how many times as often the expert takes tokens of a "
        "label value as it takes any labelled token. 1 is chance.",
    ),
    (
        "Intervals",
        "Documents are drawn anew (Poisson bootstrap, 200 resamples), since tokens of one "
        "document depend on each other. Loads, confidences and drop rates: 95 % percentiles. "
        "Risk ratios: log ratio ± z times its standard error, z corrected for the number of "
        "comparisons of the layer and column (Bonferroni), so that all of them hold together "
        "with 95 %.",
    ),
    (
        "Information",
        "Mutual information of a document’s label and a token’s expert, in bits. The chance "
        "level gives whole documents each other’s labels.",
    ),
    (
        "Top tokens",
        "Those with the highest pointwise mutual information, log2 of p(expert | token) / "
        f"p(expert), among the tokens that the expert took {LEAST_TOKEN_COUNT} times or more.",
    ),
    (
        "Speciality",
        "Label values whose corrected interval lies above 1.5 and that are 25 % of the expert’s "
        "tokens or more; else a class of tokens that covers half of them; else none is clear. A "
        "rule of thumb.",
    ),
    (
        "Distance of experts",
        "Jensen–Shannon distance of their token distributions: 0 for the same tokens, 1 for none "
        "in common.",
    ),
    (
        "What none of this shows",
        "Load and preference are not importance. All numbers are of this corpus; another may "
        "give others.",
    ),
)


def report(atlas: Atlas, found: Pass, draw: Draw) -> bytes:
    """The page, with the drawing code inside."""
    figures = draw(atlas)
    name = escape(found.about.order.name)
    written = plotly.io.to_json(figures, validate=False).replace("<", "\\u003c")
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>Experts · {name}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body><main>",
        f"<h1>What each expert takes in {name}</h1>",
        *_facts(atlas, found),
        *_information(atlas),
        *(part for layer in range(len(atlas.counts.shape)) for part in _layer(atlas, layer)),
        "<h2>Definitions</h2><dl>",
        *(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _DEFINITIONS),
        "</dl></main>",
        f'<script type="application/json" id="figures">{written}</script>',
        f"<script>{_SCRIPT}</script></body></html>",
    ]
    return "\n".join(parts).encode()


def _facts(atlas: Atlas, found: Pass) -> Iterator[str]:
    about, counts = found.about, atlas.counts
    model = about.model
    facts = {
        "Model": f"{model.get('id', about.order.model)}, revision {model.get('revision', '')}, "
        f"{model.get('architecture', '')}, {model.get('dtype', '')}",
        "Corpus": f"{', '.join(name.rpartition('/')[2] for name in about.order.files)}; "
        f"{about.size:,} bytes",
        "Counted": f"{counts.documents:,} documents, {counts.tokens:,} tokens; "
        f"{counts.truncated:,} documents cut to {about.order.max_tokens:,} tokens, "
        f"{found.state.skips.total:,} rows skipped",
        "Columns": f"text in {about.order.text}; labels {', '.join(about.order.labels) or 'none'}",
        **({"SHA-256": f"{found.digest}, of the files’ bytes"} if found.digest else {}),
        "Begun": f"{about.created:%Y-%m-%d %H:%M} UTC",
        "Pass": f"{about.id}, seed {about.order.seed}",
    }
    if not found.state.finished:
        yield f"<p>So far, {counts.documents:,} documents ({found.status}).</p>"
    yield "<table><tbody>"
    for name, value in facts.items():
        yield f'<tr><th scope="row">{name}</th><td>{escape(value)}</td></tr>'
    yield "</tbody></table>"


def _information(atlas: Atlas) -> Iterator[str]:
    for column in atlas.counts.label_columns:
        yield f"<h2>What the choice of expert says of {escape(column)}</h2>"
        yield (
            '<p class="quiet">Bits per token with 95 % intervals of documents. Dotted: labels '
            "shuffled among documents; the band holds 95 % of the shuffles.</p>"
        )
        yield _place(f"information-{column}")
        head = ("layer", "bits", "low", "high", "shuffled", "95 % below", "p", "documents")
        rows = [
            [
                str(layer + 1),
                *map(_number, (one.bits, one.low, one.high, one.null_bits, one.null_high)),
                _number(one.p_value),
                f"{one.documents:,}",
            ]
            for layer, one in enumerate(atlas.information(column))
        ]
        yield _table(head, [[escape(cell) for cell in row] for row in rows])


def _layer(atlas: Atlas, layer: int) -> Iterator[str]:
    found, columns = atlas.layer(layer), atlas.counts.label_columns
    shape = found.shape
    yield f"<h2>Layer {layer + 1}, {escape(shape.stack)} block {shape.block}</h2>"
    yield (
        f'<p class="quiet">{shape.num_experts} experts, top-{shape.top_k}; '
        f"1/N is {1 / shape.num_experts:.1%}. Module {escape(shape.name)}.</p>"
    )
    labels = [f"{escape(column)}, surely above 1" for column in columns]
    head = ("expert", "speciality", "load", "confidence", "dropped", *labels, "top tokens")
    yield _table(head, [_row(atlas, found, its) for its in found.experts])
    for column in columns:
        profile = atlas.profile(layer, column)
        yield f"<h3>Risk ratios of {escape(column)}</h3>"
        yield (
            f'<p class="quiet">Each interval at {profile.level:.3%} for '
            f"{profile.comparisons:,} comparisons. Faded: it holds 1, or there is none.</p>"
        )
        yield _place(f"risk-{layer}-{column}")
    yield "<h3>Distance of the experts’ tokens</h3>"
    yield _place(f"similarity-{layer}", "map")


def _row(atlas: Atlas, found: LayerAtlas, its: ExpertAtlas) -> list[str]:
    expert = its.expert
    labels = [
        ", ".join(
            f"{escape(value)} {_number(taken)}"
            for value, taken in best_labels(atlas.profile(found.index, column), expert)
        )
        for column in atlas.counts.label_columns
    ]
    tokens = " ".join(
        f'<code title="{each.count} of {each.total}">'
        f"{escape(atlas.pieces.get(each.token_id, ''))}</code>"
        for each in its.tokens[:_TOKENS]
    )
    return [
        str(expert),
        f'{escape(its.speciality)}<div class="quiet">{escape(" ".join(its.evidence))}</div>',
        _estimate(found.load, expert, 100, " %"),
        _estimate(found.confidence, expert),
        _estimate(found.dropped, expert, 100, " %"),
        *labels,
        tokens,
    ]


def _estimate(found: Estimate, expert: int, scale: float = 1.0, unit: str = "") -> str:
    value, low, high = (float(x[expert]) * scale for x in (found.value, found.low, found.high))
    ends = "" if math.isnan(low) else f" ({_number(low)}–{_number(high)})"
    return f"{_number(value)}{unit if not math.isnan(value) else ''}{ends}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _place(name: str, kind: str = "") -> str:
    return f'<div class="wide {kind}"><div id="{escape(name)}"></div></div>'


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A table of cells that are HTML already."""
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
