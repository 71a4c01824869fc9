"""Drawings: a trace or metrics in, a Plotly figure (as a plain dict) out. All pure."""
