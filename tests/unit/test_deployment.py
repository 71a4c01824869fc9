"""The files that deploy the app say one thing, and nothing that is unsafe."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[2]
GUNICORN = re.compile(r"^(?:    )?(gunicorn app\.server:server .+)$", re.MULTILINE)
REFERENCE = re.compile(r"\$\{(\w+)(?::([-?+])([^}]*))?\}")

# What the services read besides the app's settings and MLflow's variables.
OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "FORWARDED_ALLOW_IPS",
    "MINIO_ROOT_USER",
    "MINIO_ROOT_PASSWORD",
}
# What compose itself puts in, for which no service has a variable of that name.
COMPOSE_ONLY = {"AUTOML", "PIP_ARGS", "MLFLOW_PORT", "MLFLOW_PUBLIC_HOST"}
SECRETS = {"MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


def _references(part: Any) -> list[tuple[str, str, str]]:
    """What compose puts in: name, how a missing one is met, and with what."""
    return REFERENCE.findall(json.dumps(part))


def _settings() -> set[str]:
    return {field.alias or "" for field in Settings.model_fields.values()}


def _mlflow() -> set[str]:
    """MLflow's variables; importing them would take seconds."""
    source = Path(str(distribution("mlflow").locate_file("mlflow/environment_variables.py")))
    return set(re.findall(r"^(MLFLOW_\w+) = ", source.read_text(encoding="utf-8"), re.MULTILINE))


def _filled(text: str) -> str:
    """As compose fills it in where the environment says nothing."""
    return REFERENCE.sub(lambda found: found[3] if found[2] == "-" else "", text)


def test_there_are_app_tracking_server_and_store(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"app", "mlflow", "minio"}


def test_every_image_is_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        _, _, tag = service["image"].partition(":")
        assert re.search(r"\d", tag), name
        assert "latest" not in tag, name
        # An image of others keeps its content too; ours is built here.
        assert "build" in service or re.search(r"@sha256:[0-9a-f]{64}$", tag), name
    base = re.findall(r"^FROM (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in base)


def test_no_secret_is_written_down_and_none_has_a_default(compose: dict[str, Any]) -> None:
    secret = re.compile(r"SECRET|PASSWORD|ACCESS_KEY|ROOT_USER|TOKEN$")
    seen = 0
    for service in compose["services"].values():
        for name, value in service["environment"].items():
            if secret.search(name):
                seen += 1
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    assert seen == 6
    for name, how, _ in _references(compose):
        if secret.search(name):
            assert how == "?", name
    # No address carries one either.
    assert not re.search(r"//[^/\s\"]+:[^/\s\"]+@", json.dumps(compose))


def test_every_port_is_open_to_this_machine_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service["ports"]]
    assert len(ports) == 4
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", _filled(port)), port
    assert not any("network_mode" in service for service in compose["services"].values())


def test_every_service_is_watched_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        for other, wanted in service.get("depends_on", {}).items():
            assert other in compose["services"]
            assert wanted["condition"] in {"service_started", "service_healthy"}


def test_what_is_kept_lies_on_named_volumes(compose: dict[str, Any]) -> None:
    mounted = [mount for each in compose["services"].values() for mount in each["volumes"]]
    names = [mount.partition(":")[0] for mount in mounted]
    assert sorted(names) == sorted(set(compose["volumes"]))
    assert all(mount.endswith(":/data") for mount in mounted)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "MOESCOPE_DATA_DIR=/data" in dockerfile


def test_every_environment_name_is_known(compose: dict[str, Any]) -> None:
    known = {"app": _settings() | OTHERS, "mlflow": _mlflow() | OTHERS, "minio": OTHERS}
    for name, service in compose["services"].items():
        assert set(service["environment"]) <= known[name]
    assert {name for name, _, _ in _references(compose)} <= _settings() | OTHERS | COMPOSE_ONLY


def test_every_setting_is_handed_to_the_app_or_belongs_to_the_container(
    compose: dict[str, Any],
) -> None:
    # Where the container listens and keeps its data is the Dockerfile's.
    own = {"MOESCOPE_HOST", "MOESCOPE_PORT", "MOESCOPE_DATA_DIR"}
    environment = compose["services"]["app"]["environment"]
    assert set(environment) & _settings() == _settings() - own


def test_app_server_and_store_mean_the_same_bucket_and_places(compose: dict[str, Any]) -> None:
    app, mlflow, minio = (compose["services"][name] for name in ("app", "mlflow", "minio"))
    environment = app["environment"]
    assert environment["MINIO_ENDPOINT"] == "minio:9000"
    assert mlflow["environment"]["MLFLOW_S3_ENDPOINT_URL"] == "http://minio:9000"
    assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
    assert "mlflow:5000" in mlflow["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert (
        f"--default-artifact-root=s3://{environment['MINIO_BUCKET']}/moescope"
        in (mlflow["command"])
    )
    keys = {"AWS_ACCESS_KEY_ID": "ROOT_USER", "AWS_SECRET_ACCESS_KEY": "ROOT_PASSWORD"}
    for theirs, root in keys.items():
        value = mlflow["environment"][theirs]
        assert value == minio["environment"][f"MINIO_{root}"]
        assert value in {environment[name] for name in SECRETS}


def test_the_gunicorn_line_is_the_same_everywhere() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    command = re.search(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert command
    line = " ".join(json.loads(command[1]))
    assert line.startswith("gunicorn app.server:server -k uvicorn_worker.UvicornWorker -w 1 ")
    # Behind a proxy on the same machine the port need not be open to others.
    local = line.replace("0.0.0.0:8050", "127.0.0.1:8050")
    readme = GUNICORN.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    deploy = GUNICORN.findall((ROOT / "docs" / "deploy.md").read_text(encoding="utf-8"))
    assert readme == [line]
    assert deploy == [local]


def test_the_mlflow_server_is_started_the_same_way_without_containers(
    compose: dict[str, Any],
) -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    differ = {"--host", "--backend-store-uri"}
    for argument in compose["services"]["mlflow"]["command"][2:]:
        name, _, value = argument.partition("=")
        if name in differ:
            assert f"{name}=" in text
        else:
            assert " ".join(argument.split()) in text or f"{name}={_filled(value)}" in text


def test_the_image_gets_what_the_app_reads() -> None:
    kept = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = [path for line in copies for path in line.split()]
    assert sorted(copied) == sorted(kept)
    assert all((ROOT / path).exists() for path in copied)
    # Every file outside `app` that a module of it opens.
    outside = re.compile(r'parents\[\d\](?: / "([\w.-]+)")(?: / "([\w.-]+)")?')
    for module in (ROOT / "app").rglob("*.py"):
        for first, second in outside.findall(module.read_text(encoding="utf-8")):
            path = f"{first}/{second}" if second else first
            assert any(path == each or path.startswith(f"{each}/") for each in copied), module


def test_the_readme_leads_to_the_document() -> None:
    assert "(docs/deploy.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
