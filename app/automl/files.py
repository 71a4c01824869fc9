"""Where things lie in the folder of a training."""

from __future__ import annotations

from pathlib import Path

H2O, MODELS = "h2o", "models"


def model_file(folder: Path, name: str) -> Path:
    """A model, as H2O's MOJO."""
    return folder / MODELS / f"{name}.zip"


def holdout_file(folder: Path) -> Path:
    """The best model's answers to the rows held out, as Parquet."""
    return folder / "holdout.parquet"


def leaderboard_file(folder: Path) -> Path:
    """All models with their metrics, as CSV."""
    return folder / "leaderboard.csv"
