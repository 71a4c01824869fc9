"""How much of a router the surface of tokens tells, as a figure over its layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import pytest

from app.components.markup import markup
from app.corpus.library import Library, Pass
from app.corpus.order import Order
from app.corpus.state import id_of
from app.figures.theme import DARK, LIGHT
from app.figures.trainings.explained import Explained, explained_figure, explained_summary
from app.pages.experts.explained import drawn


@pytest.fixture
def kept_tokens(tmp_path: Path) -> Pass:
    library = Library(tmp_path)
    corpus = tmp_path / "a.txt"
    corpus.write_text("a\n", encoding="utf-8")
    order = Order((str(corpus),), "text", (), "switch-mini-8", 64, "with tokens", True)
    library.submit(id_of(order), order, 1)
    return library.find(id_of(order))


def layer(number: int, accuracy: float, *labels: str) -> Explained:
    best = {"accuracy": accuracy, "log_loss": 1 - accuracy}
    for name in ("accuracy", "log_loss"):
        best |= {f"{name}_low": best[name] - 0.1, f"{name}_high": best[name] + 0.05}
    baseline = {"accuracy": 0.2, "log_loss": 2.0}
    return Explained(number, f"layer {number}", best, baseline, labels, f"training-{number}")


def test_each_layer_stands_beside_what_its_load_alone_tells() -> None:
    figure = explained_figure([layer(0, 0.9), layer(2, 0.6)])
    shown = go.Figure(figure)
    majority, accuracy, entropy, loss = shown.data
    assert list(accuracy.x) == [0, 2]
    assert list(accuracy.y) == [0.9, 0.6]
    assert list(majority.y) == [0.2, 0.2]
    assert list(entropy.y) == [2.0, 2.0]
    assert [round(each, 3) for each in loss.y] == [0.1, 0.4]
    assert [round(each, 3) for each in accuracy.error_y.array] == [0.05, 0.05]
    assert [round(each, 3) for each in accuracy.error_y.arrayminus] == [0.1, 0.1]
    assert list(shown.layout.xaxis.ticktext) == ["1", "3"]
    assert "95 %: 0.80 to 0.95" in accuracy.hovertext[0]
    assert "layer 2" in majority.hovertext[1]


def test_a_single_layer_and_none_can_be_drawn() -> None:
    assert len(go.Figure(explained_figure([layer(3, 0.5)], DARK)).data) == 4
    assert len(go.Figure(explained_figure([])).data) == 4


def test_labels_that_a_model_knows_are_told() -> None:
    layers = [layer(0, 0.9, "language"), layer(2, 0.6)]
    _, accuracy, _, _ = explained_figure(layers)["data"]
    assert "knows the labels language" in accuracy["hovertext"][0]
    assert "knows" not in accuracy["hovertext"][1]
    assert "Layer 3: accuracy 0.60, of the majority expert 0.20" in explained_summary(layers)


def test_the_page_says_which_trainings_are_drawn_and_what_is_missing(kept_tokens: Pass) -> None:
    *_, said = drawn(kept_tokens, [layer(0, 0.9, "language"), layer(2, 0.6)], 1, LIGHT)
    words = markup(said)
    assert "layer 1</a> (knows the document’s language too), " in words
    *_, said = drawn(kept_tokens, [layer(0, 0.9, "a", "b"), layer(1, 0.6, "a", "b")], 1, LIGHT)
    assert "layer 2</a>. They know the document’s a and b too.</p>" in markup(said)
    assert "training=training-2" in words
    assert f"/predict?table=router.{kept_tokens.about.id}.1" in words


def test_a_pass_that_no_model_explains_says_what_to_do(kept_tokens: Pass) -> None:
    *_, said = drawn(kept_tokens, [], 2, LIGHT)
    assert f"/predict?table=router.{kept_tokens.about.id}.2" in markup(said)
    about = replace(kept_tokens.about, order=replace(kept_tokens.about.order, tokens=False))
    *_, said = drawn(replace(kept_tokens, about=about), [], 2, LIGHT)
    assert "kept every token’s routing" in markup(said)
