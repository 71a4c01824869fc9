"""Keeping analyses: MLflow runs with their artifacts, and the formats they are exported in."""
