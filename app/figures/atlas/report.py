"""The figures of an atlas' report, in both themes."""

from __future__ import annotations

from typing import Any

from app.corpus.atlases import Atlas
from app.figures.atlas.information import information_figure
from app.figures.atlas.risk import risk_figure
from app.figures.atlas.similarity import similarity_figure
from app.figures.theme import THEMES, Theme


def report_figures(atlas: Atlas) -> dict[str, dict[str, dict[str, Any]]]:
    """By theme, then by name, as app/recording/atlas_report.py asks for them."""
    return {name: _figures(atlas, theme) for name, theme in THEMES.items()}


def _figures(atlas: Atlas, theme: Theme) -> dict[str, dict[str, Any]]:
    layers, columns = range(len(atlas.counts.shape)), atlas.counts.label_columns
    return {
        **{
            f"information-{column}": information_figure(atlas.information(column), theme)
            for column in columns
        },
        **{
            f"risk-{layer}-{column}": risk_figure(atlas.profile(layer, column), theme)
            for layer in layers
            for column in columns
        },
        **{
            f"similarity-{layer}": similarity_figure(atlas.similarity(layer), theme)
            for layer in layers
        },
    }
