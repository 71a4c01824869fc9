"""What tags of the model registry say of a version: what it is, and what happened to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.recording.content import PREFIX
from app.recording.registered import Action, Registered, Role, Version

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

# On a model: it is one of ours, and what happened to its versions.
TAG_OURS, TAG_EVENTS = f"{PREFIX}predictor", f"{PREFIX}events"
# On a version: what it is.
TAG_TRAINING, TAG_TASK, TAG_TARGET = f"{PREFIX}training", f"{PREFIX}task", f"{PREFIX}target"
TAG_FAMILY, TAG_METRICS, TAG_BASELINE = (
    f"{PREFIX}{name}" for name in ("family", "metrics", "baseline")
)
# And when what happened to it.
TAGS: Mapping[Action, str] = {
    "promoted": f"{PREFIX}promoted",
    "rolled back": f"{PREFIX}rolled_back",
    "retired": f"{PREFIX}retired",
}


def version_of(found: ModelVersion, model: Registered | None = None) -> Version:
    """A version; its role tells nothing but whether it is retired without the `model`."""
    tags = found.tags
    return Version(
        name=found.name,
        version=int(found.version),
        run_id=str(found.run_id),
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        role=_role(int(found.version), tags, model),
        source=str(found.source),
        training=tags[TAG_TRAINING],
        task=tags.get(TAG_TASK, ""),
        target=tags.get(TAG_TARGET, ""),
        family=tags.get(TAG_FAMILY, ""),
        metrics=numbers_of(tags.get(TAG_METRICS, "")),
        baseline=numbers_of(tags.get(TAG_BASELINE, "")),
    )


def number_of(version: str | int | None) -> int | None:
    """An alias' version as a number."""
    return None if version is None else int(version)


def write_numbers(numbers: Mapping[str, float]) -> str:
    """Metrics by name as a tag's value."""
    return json.dumps(dict(numbers))


def numbers_of(value: str) -> dict[str, float]:
    """The inverse; none where somebody else has written the tag."""
    try:
        found: Any = json.loads(value or "{}")
        return {str(name): float(number) for name, number in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _role(version: int, tags: Mapping[str, str], model: Registered | None) -> Role:
    if TAGS["retired"] in tags:
        return "retired"
    if model is not None and version == model.champion:
        return "champion"
    if model is not None and version == model.challenger:
        return "challenger"
    return "former" if TAGS["promoted"] in tags else "candidate"
