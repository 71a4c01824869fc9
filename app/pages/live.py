"""The live page: a text, and where its tokens go while it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import html

from app.analysis import Analyst
from app.components import ids, links
from app.components.attributes import attributes
from app.components.controls import Choices, controls, pinned
from app.components.diagrams import diagrams
from app.components.entry import entry
from app.components.settled import settled_panels

EXAMPLES = (
    ("a proverb", "A bird in the hand is worth two in the bush."),
    ("French", "Il faut cultiver notre jardin, dit Candide, et il reprit son chemin."),
    ("Python", "def mean(values):\n    return sum(values) / len(values)"),
    ("arithmetic", "12 + 30 = 42, 7 * 8 = 56, 100 - 1 = 99"),
    ("one word, two meanings", "She sat on the bank of the river and the bank lent her money."),
)


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout; the address opens a text, a model, what the controls say and what
    is selected."""

    def page(**given: Any) -> html.Div:
        query = links.once(given)
        text, model = query.get("text"), query.get("model")
        registry = analyst.registry
        chosen = model if model in registry.specs else registry.default
        start = text or EXAMPLES[0][1]
        choices = Choices.of_query(query)
        return html.Div(
            [
                html.H1("Live routing", className="visually-hidden"),
                entry(start, list(registry.specs), chosen, choices, kept=not text),
                controls(choices),
                html.Div(
                    [
                        html.Span("try:", className="quiet"),
                        *[
                            html.Button(name, className="link", **attributes(data_example=example))
                            for name, example in EXAMPLES
                        ],
                    ],
                    id=ids.EXAMPLES,
                    className="examples",
                ),
                *diagrams(None, None, pinned(query)),
                *settled_panels(),
            ]
        )

    return page
