"""HTML attributes whose names Python can't spell."""

from __future__ import annotations

from typing import Any


def attributes(**names: str) -> dict[str, Any]:
    """`aria_label="x"` as the keyword argument `aria-label` of a Dash component."""
    return {name.replace("_", "-"): value for name, value in names.items()}
