"""Settings: defaults, `.env`, the list of models, and one line for each wrong value."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.settings import (
    BUNDLED_FOLDER,
    BUNDLED_MODEL,
    ModelSpec,
    Settings,
    SettingsError,
    load_settings,
)

EXAMPLE = Path(__file__).parents[2] / ".env.example"
BAD_BUCKETS = [
    *("ab", "a" * 64, "Upper", "under_score", "two..dots", "dot.-dash", "-dash", "dash-", ".dot"),
    *("192.168.5.4", "space d", "line\n", "ümlaut", "a/b"),
]
BAD_ENDPOINTS = [
    *("host:0", "host:65536", "host:port", "host:", ":9000", "host/path", "host:9000?x", "a b:1"),
    *("user:word@host:9000", "http://user:word@host", "ftp://host:21", "http://", "[::1:9000"),
]
BAD_ADDRESSES = [
    *("host:5000", "//host", "javascript:alert(1)", "http://", "https://user:word@host"),
    *("https://host/#/", "https://host/?a=1", "ftp://host"),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No `.env` of whoever runs the tests is read."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_defaults(empty_folder: Path) -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.max_tokens) == ("127.0.0.1", 8050, 512)
    assert settings.dtype == "float32"
    assert settings.data_dir == empty_folder / "data"
    assert settings.tracking_uri == f"sqlite:///{empty_folder}/data/mlflow.db"
    assert (settings.mlflow_experiment, settings.minio_bucket) == ("moescope", "mlflow-artifacts")
    assert (settings.minio_endpoint, settings.minio_secure) == ("", False)
    assert settings.threads == max(1, (os.cpu_count() or 2) - 1)
    assert settings.default_model == BUNDLED_MODEL
    assert settings.model_specs() == {
        BUNDLED_MODEL: ModelSpec(BUNDLED_MODEL, str(BUNDLED_FOLDER), local=True)
    }


def test_the_environment_wins_over_the_file(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / ".env").write_text("MOESCOPE_PORT=9001\nMOESCOPE_HOST=0.0.0.0\nOTHER=1\n")
    monkeypatch.setenv("MOESCOPE_PORT", "9002")
    settings = load_settings()
    assert (settings.port, settings.host) == (9002, "0.0.0.0")
    assert load_settings(MOESCOPE_PORT=9003).port == 9003


def test_an_empty_value_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOESCOPE_THREADS", "MOESCOPE_MODELS", "MINIO_ENDPOINT", "MOESCOPE_PORT"):
        monkeypatch.setenv(name, "")
    assert load_settings() == load_settings(MOESCOPE_PORT=8050)


def test_the_example_file_lists_every_setting_and_changes_nothing(empty_folder: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    listed = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(listed) == sorted(field.alias or "" for field in Settings.model_fields.values())
    plain = load_settings()
    (empty_folder / ".env").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_settings() == plain


def test_models_are_listed_with_the_default_first(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "MOESCOPE_MODELS", f" google/switch-base-8, mine = {model_folder} ,{BUNDLED_MODEL},"
    )
    monkeypatch.setenv("MOESCOPE_MODEL", "mine")
    specs = load_settings().model_specs()
    assert list(specs) == ["mine", "google/switch-base-8", BUNDLED_MODEL]
    assert specs["mine"] == ModelSpec("mine", str(model_folder), local=True)
    assert specs["google/switch-base-8"] == ModelSpec(
        "google/switch-base-8", "google/switch-base-8", local=False
    )
    assert load_settings().default_model == "mine"


class TestFast:
    """`@fast` behind a model's id: the same weights, and a model of its own."""

    def specs(self, monkeypatch: pytest.MonkeyPatch, models: str) -> dict[str, ModelSpec]:
        monkeypatch.setenv("MOESCOPE_MODELS", models)
        return load_settings().model_specs()

    def test_it_stands_beside_the_exact_one(
        self, model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub = "google/switch-base-8"
        specs = self.specs(
            monkeypatch, f"{hub}, {hub}@fast, mine@fast={model_folder}, {BUNDLED_MODEL}@fast"
        )
        folder, bundled = str(model_folder), str(BUNDLED_FOLDER)
        assert list(specs.values()) == [
            ModelSpec(BUNDLED_MODEL, bundled, local=True),
            ModelSpec(hub, hub, local=False),
            ModelSpec(f"{hub}@fast", hub, local=False, fast=True),
            ModelSpec("mine@fast", folder, local=True, fast=True),
            ModelSpec(f"{BUNDLED_MODEL}@fast", bundled, local=True, fast=True),
        ]

    def test_a_folder_need_be_given_once(
        self, model_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        specs = self.specs(monkeypatch, f"mine={model_folder}, mine@fast")
        assert specs["mine@fast"] == ModelSpec(
            "mine@fast", str(model_folder), local=True, fast=True
        )
        monkeypatch.setenv("MOESCOPE_MODEL", "mine@fast")
        assert load_settings().default_model == "mine@fast"

    @pytest.mark.parametrize("model", ["a/b@quick", "@fast", "a/b@fast@fast", "a/b@", "x@y=/tmp"])
    def test_nothing_else_stands_there(self, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOESCOPE_MODELS", model)
        with pytest.raises(SettingsError, match=r"MOESCOPE_MODELS: .*only @fast can stand"):
            load_settings()


def test_the_default_need_not_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOESCOPE_MODELS", "google/switch-base-8")
    assert list(load_settings().model_specs()) == [BUNDLED_MODEL, "google/switch-base-8"]


def test_the_default_may_be_a_folder_of_its_own(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOESCOPE_MODEL", f"mine={model_folder}")
    assert load_settings().default_model == "mine"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MOESCOPE_PORT", "http", "integer"),
        ("MOESCOPE_PORT", "0", "greater than or equal to 1"),
        ("MOESCOPE_PORT", "65536", "less than or equal to 65535"),
        ("MOESCOPE_MAX_TOKENS", "0", "greater"),
        ("MOESCOPE_MAX_TOKENS", "1e9", "integer"),
        ("MOESCOPE_THREADS", "-1", "greater"),
        ("MOESCOPE_THREADS", "all", "integer"),
        ("MOESCOPE_TRAINING", "perhaps", "boolean"),
        ("MOESCOPE_AUTOML_MB", "100", "greater than or equal to 256"),
        ("MOESCOPE_DTYPE", "int8", "'float32' or 'bfloat16'"),
        ("MOESCOPE_DATA_DIR", "file", "is not a folder"),
        ("MOESCOPE_DATA_DIR", "file/below", "is not a folder"),
        ("MOESCOPE_MODEL", "a/b/c", "is no model id"),
        ("MOESCOPE_MODEL", "./folder", "is no model id"),
        ("MOESCOPE_MODEL", "mine=/nowhere", "/nowhere is no folder of a model"),
        ("MOESCOPE_MODELS", "a/b,/some/folder", "is no model id"),
        ("MOESCOPE_MODELS", "a/b,mine=/nowhere", "/nowhere is no folder of a model"),
        ("MOESCOPE_MODELS", "mine=", "is no folder of a model"),
        ("MOESCOPE_MODELS", "=file", "is no folder of a model"),
        ("MOESCOPE_MODELS", "a/b,c/d,a/b", "«a/b» is listed twice"),
        ("MLFLOW_TRACKING_URI", "ftp://host", "tracking URI"),
        ("MLFLOW_TRACKING_URI", "just words", "tracking URI"),
        ("MINIO_SECURE", "maybe", "boolean"),
        ("MINIO_PRESIGN", "perhaps", "boolean"),
        ("MINIO_ACCESS_KEY", "two\nlines", "control character"),
        *(("MINIO_BUCKET", name, "3 to 63") for name in BAD_BUCKETS),
        *(("MINIO_ENDPOINT", value, "localhost:9000") for value in BAD_ENDPOINTS),
        *(("MINIO_PUBLIC_ENDPOINT", value, "localhost:9000") for value in BAD_ENDPOINTS),
        *(("MOESCOPE_MLFLOW_UI", value, "https://host:5000") for value in BAD_ADDRESSES),
    ],
)
def test_a_wrong_value_is_named_in_one_line(
    name: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert said in message
    assert "\n" not in message


def test_a_wrong_line_of_the_file_is_named_too(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("MOESCOPE_PORT=many\n")
    with pytest.raises(SettingsError, match=r"^MOESCOPE_PORT: "):
        load_settings()


def test_an_unreadable_file_is_named(empty_folder: Path) -> None:
    (empty_folder / ".env").write_bytes(b"MOESCOPE_HOST=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"^\.env: "):
        load_settings()


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_SECRET_KEY", "hunter2")
    monkeypatch.setenv("MINIO_ACCESS_KEY", "hunter1")
    settings = load_settings()
    assert settings.minio_secret_key.get_secret_value() == "hunter2"
    assert "hunter" not in f"{settings!r} {settings} {settings.model_dump()}"
    monkeypatch.setenv("MINIO_SECURE", "maybe")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter" not in str(caught.value)


def test_addresses_and_buckets_that_are_allowed() -> None:
    keys = {"MINIO_ACCESS_KEY": "a", "MINIO_SECRET_KEY": "b"}
    for endpoint in ("localhost:9000", "[::1]:9000", "http://10.0.0.1", "https://s3.example.org"):
        settings = load_settings(MINIO_ENDPOINT=endpoint, MINIO_PUBLIC_ENDPOINT=endpoint, **keys)
        assert (settings.minio_endpoint, settings.minio_public_endpoint) == (endpoint, endpoint)
    assert load_settings(MINIO_ENDPOINT="http://host:1/", **keys).minio_endpoint == "http://host:1"
    assert load_settings(MOESCOPE_MLFLOW_UI="https://h/mlflow/").mlflow_ui == "https://h/mlflow"
    for name in ("abc", "a" * 63, "1.2.3", "runs-2026.eu", "192.168.5.4.5"):
        assert load_settings(MINIO_BUCKET=name).minio_bucket == name
    plain = load_settings()
    assert (plain.minio_presign, plain.minio_public_endpoint, plain.mlflow_ui) == (False, "", "")


def test_an_endpoint_needs_both_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_ENDPOINT", "localhost:9000")
    with pytest.raises(SettingsError, match=r"^MINIO_ACCESS_KEY: it is missing"):
        load_settings()
    monkeypatch.setenv("MINIO_ACCESS_KEY", "hunter1")
    with pytest.raises(SettingsError, match=r"^MINIO_SECRET_KEY: it is missing") as caught:
        load_settings()
    assert "hunter" not in str(caught.value)
    monkeypatch.setenv("MINIO_SECRET_KEY", "hunter2")
    assert load_settings().minio_endpoint == "localhost:9000"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match=r"frozen"):
        load_settings().port = 1
