"""Models that were trained here, as the model registry has them: names, versions, roles. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from app.recording.base import InvalidQueryError, RunNotFoundError

CHAMPION, CHALLENGER = "champion", "challenger"
MOST_NAME_CHARACTERS = 100
NAME_RULES = (
    f"a model's name has 1 to {MOST_NAME_CHARACTERS} letters from a to z, digits, dots, dashes "
    "and underscores, and begins with a letter or digit"
)

Action = Literal["promoted", "rolled back", "retired"]
Role = Literal["champion", "challenger", "former", "retired", "candidate"]

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_NAME_CHARACTERS - 1}}}")
# What fits into a tag of a registered model, whose values end after 5,000 characters.
_MOST_EVENTS = 50


class ModelNotFoundError(RunNotFoundError):
    """The registry has no such model, version or alias; the message is one line."""


def check_name(name: str) -> None:
    """Raises InvalidQueryError unless a model can have that name."""
    if not _NAME.fullmatch(name):
        raise InvalidQueryError(NAME_RULES)


def name_of(title: str, count: int = 1) -> str:
    """A name made of a title: other characters become dashes. With a `count` above 1 a number
    follows, for titles that others have too."""
    ending = f"-{count}" if count > 1 else ""
    kept = re.sub(r"[^A-Za-z0-9._]+", "-", title).strip("._-")
    return (kept[: MOST_NAME_CHARACTERS - len(ending)].rstrip("._-") or "model") + ending


@dataclass(frozen=True)
class Event:
    """What happened to a version. A rolled back one has given its place to the one before;
    `time` is in UTC."""

    time: datetime
    action: Action
    version: int


@dataclass(frozen=True)
class Version:
    """A version of a model. `created` is in UTC.

    `task`, `target` and `training` (its id) say what it is, `metrics` how good it is on rows that
    took no part in its training, `baseline` how good one is that knows their target alone.
    `source`: where its files lie.
    """

    name: str
    version: int
    run_id: str
    created: datetime
    role: Role
    source: str
    training: str = ""
    task: str = ""
    target: str = ""
    family: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Registered:
    """A model with its versions, the newest first, and what happened to them, the last first."""

    name: str
    champion: int | None
    challenger: int | None
    versions: tuple[Version, ...]
    events: tuple[Event, ...]

    @property
    def previous(self) -> int | None:
        """The version that a roll back makes the champion again; None without any."""
        retired = {each.version for each in self.versions if each.role == "retired"}
        there = {each.version for each in self.versions} - retired
        before = champions_before(self.events, self.champion)
        return next((version for version in before if version in there), None)


def champions_before(events: Sequence[Event], champion: int | None) -> list[int]:
    """The champions before this one, the last first, each once; `events` with the last first.

    One that was rolled back is no champion before anything. Whoever sets the alias elsewhere
    leaves no event: then it is all that was promoted here before.
    """
    stack = list[int]()
    for event in reversed(events):
        if event.action == "promoted":
            stack = [*(each for each in stack if each != event.version), event.version]
        elif event.action == "rolled back":
            stack = [each for each in stack if each != event.version]
    if champion in stack:
        stack = stack[: stack.index(champion)]
    return stack[::-1]


def written(events: Sequence[Event]) -> str:
    """Events as a tag's value, the oldest of many left out."""
    plain = [
        [each.time.isoformat(timespec="seconds"), each.action, each.version]
        for each in events[:_MOST_EVENTS]
    ]
    return json.dumps(plain, separators=(",", ":"))


def events_of(value: str) -> tuple[Event, ...]:
    """The inverse; none where somebody else has written the tag."""
    try:
        return tuple(
            Event(datetime.fromisoformat(time), action, int(version))
            for time, action, version in json.loads(value or "[]")
        )
    except (ValueError, TypeError):
        return ()
