"""How the best model of a training becomes a version of a registered model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.recording.registered import CHALLENGER, CHAMPION, ModelNotFoundError, Version, name_of
from app.recording.registry_client import model_of, note
from app.recording.registry_tags import TAG_OURS, TAG_TARGET, TAG_TASK, TAG_TRAINING, version_of

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def register(
    client: MlflowClient,
    title: str,
    run_id: str,
    source: str,
    tags: Mapping[str, str],
    about: str,
    follows: str = "",
) -> Version:
    """See `Registry.register`. Raises what MLflow raises."""
    found = next(iter(client.search_model_versions(f"run_id = '{run_id}'")), None)
    if found is None:
        name = _name(client, title, tags, follows)
        found = client.create_model_version(
            name, source, run_id, tags=dict(tags), description=about
        )
    number, model = int(found.version), model_of(client, found.name)
    if model.champion is None and len(model.versions) == 1:
        note(client, model, "promoted", number)
        client.set_registered_model_alias(model.name, CHAMPION, str(number))
    elif number not in (model.champion, model.challenger):
        client.set_registered_model_alias(model.name, CHALLENGER, str(number))
    return version_of(found, model_of(client, model.name))


def _name(client: MlflowClient, title: str, tags: Mapping[str, str], follows: str) -> str:
    """The name of the model that a new version belongs to, which is made if need be."""
    from mlflow.exceptions import MlflowException

    if follows:
        wanted = f"tags.`{TAG_TRAINING}` = '{follows}'"
        before = next(iter(client.search_model_versions(wanted)), None)
        if before is not None:
            return str(before.name)
    for count in itertools.count(1):
        name = name_of(title, count)
        try:
            client.create_registered_model(name, {TAG_OURS: "true"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if not _predicts_the_same(client, name, tags):
                continue
        return name
    raise AssertionError


def _predicts_the_same(client: MlflowClient, name: str, tags: Mapping[str, str]) -> bool:
    """Whether a model is one of ours with this target."""
    try:
        versions = model_of(client, name).versions
    except ModelNotFoundError:
        return False
    same = (tags[TAG_TARGET], tags[TAG_TASK])
    return not versions or (versions[0].target, versions[0].task) == same
