"""Figures of an expert atlas: what `app.corpus.atlas` found in, Plotly figures out."""
