"""What is asked of MLflow's model registry through its client. Raises what MLflow raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.recording.base import InvalidQueryError
from app.recording.registered import (
    CHALLENGER,
    CHAMPION,
    Action,
    Event,
    ModelNotFoundError,
    Registered,
    check_name,
    events_of,
    written,
)
from app.recording.registry_tags import (
    TAG_EVENTS,
    TAG_OURS,
    TAG_TRAINING,
    TAGS,
    number_of,
    version_of,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_MOST_VERSIONS = 200


def models_of(client: MlflowClient) -> list[Registered]:
    """Our models by name."""
    found = client.search_registered_models(f"tags.`{TAG_OURS}` = 'true'", order_by=["name ASC"])
    return [_registered(client, each) for each in found]


def model_of(client: MlflowClient, name: str) -> Registered:
    """One of them. Raises ModelNotFoundError."""
    try:
        check_name(name)
    except InvalidQueryError:
        # What can't be a name is none that is there.
        raise ModelNotFoundError("there is no such model") from None
    found = or_none(client.get_registered_model, name)
    if found is None or TAG_OURS not in found.tags:
        raise ModelNotFoundError(f"there is no model «{name}»")
    return _registered(client, found)


def asked_version(client: MlflowClient, name: str, chosen: str | int) -> ModelVersion | None:
    """A version by its number or alias, in one question; None if there is none of ours."""
    if isinstance(chosen, int):
        found = or_none(client.get_model_version, name, str(chosen))
    else:
        found = or_none(client.get_model_version_by_alias, name, chosen)
    return found if found is not None and TAG_TRAINING in found.tags else None


def note(client: MlflowClient, model: Registered, action: Action, version: int) -> None:
    """Notes what is about to happen to a version, so that nothing happens without a note."""
    now = datetime.now(UTC)
    events = written((Event(now, action, version), *model.events))
    client.set_registered_model_tag(model.name, TAG_EVENTS, events)
    time = now.isoformat(timespec="seconds")
    client.set_model_version_tag(model.name, str(version), TAGS[action], time)


def or_none(get: Any, *arguments: str) -> Any:
    """What a question gives, None if there is no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return get(*arguments)
    except MlflowException as error:
        if error.error_code in _MISSING:
            return None
        raise


def _registered(client: MlflowClient, found: RegisteredModel) -> Registered:
    aliases: Mapping[str, Any] = found.aliases
    model = Registered(
        name=found.name,
        champion=number_of(aliases.get(CHAMPION)),
        challenger=number_of(aliases.get(CHALLENGER)),
        versions=(),
        events=events_of(found.tags.get(TAG_EVENTS, "")),
    )
    versions = client.search_model_versions(
        f"name = '{found.name}'", _MOST_VERSIONS, ["version_number DESC"]
    )
    ours = (each for each in versions if TAG_TRAINING in each.tags)
    return replace(model, versions=tuple(version_of(each, model) for each in ours))
