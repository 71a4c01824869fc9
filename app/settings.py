"""Typed settings, read from the environment and from `.env`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

# No part begins with a dot: `..` would lead out of it again.
_BASE_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_BUCKET = re.compile(r"(?!.*(\.\.|\.-|-\.))(?!\d+(\.\d+){3}$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_RULES = (
    "a bucket's name has 3 to 63 lower-case letters, digits, dots and dashes, with a letter or "
    "digit at both ends and beside each dot, and is no IP address"
)
BUNDLED_MODEL = "switch-mini-8"
# Behind a model's id: the same model in fast mode.
_FAST = "fast"
BUNDLED_FOLDER = Path(__file__).parent / "models" / BUNDLED_MODEL


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message is one line and names it."""


@dataclass(frozen=True)
class ModelSpec:
    """A model that may be chosen: its public id and where it is loaded from.

    `source` is a local folder or, when `local` is false, an id of the Hugging Face hub.
    `fast`: with linear layers in bfloat16; such a model is one of its own, whose id says so.
    """

    id: str
    source: str
    local: bool
    fast: bool = False


class Settings(BaseSettings):
    """Everything that can be configured. Field aliases are the environment's names."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        # An empty value means the default, as in a copied .env.example.
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    model: str = Field(BUNDLED_MODEL, alias="MOESCOPE_MODEL", min_length=1)
    models: str = Field("", alias="MOESCOPE_MODELS")
    host: str = Field("127.0.0.1", alias="MOESCOPE_HOST", min_length=1)
    port: int = Field(8050, alias="MOESCOPE_PORT", ge=1, le=65535)
    base_path: str = Field("", alias="MOESCOPE_BASE_PATH")
    data_dir: Path = Field(Path("data"), alias="MOESCOPE_DATA_DIR")
    max_tokens: int = Field(512, alias="MOESCOPE_MAX_TOKENS", ge=1, le=8192)
    threads: int = Field(
        # One core stays free, so that the page keeps answering while the model runs.
        default_factory=lambda: max(1, (os.cpu_count() or 2) - 1),
        alias="MOESCOPE_THREADS",
        ge=1,
        le=1024,
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", alias="MOESCOPE_DTYPE")
    queue: int = Field(64, alias="MOESCOPE_QUEUE", ge=1, le=1000)
    upload_mb: int = Field(2000, alias="MOESCOPE_UPLOAD_MB", ge=1, le=1_000_000)
    training: bool = Field(True, alias="MOESCOPE_TRAINING")
    automl_mb: int = Field(1024, alias="MOESCOPE_AUTOML_MB", ge=256, le=1_000_000)
    mlflow_tracking_uri: str = Field("", alias="MLFLOW_TRACKING_URI")
    mlflow_experiment: str = Field("moescope", alias="MLFLOW_EXPERIMENT_NAME", min_length=1)
    mlflow_ui: str = Field("", alias="MOESCOPE_MLFLOW_UI")
    minio_endpoint: str = Field("", alias="MINIO_ENDPOINT")
    minio_access_key: SecretStr = Field(
        SecretStr(""), alias="MINIO_ACCESS_KEY", validate_default=True
    )
    minio_secret_key: SecretStr = Field(
        SecretStr(""), alias="MINIO_SECRET_KEY", validate_default=True
    )
    minio_secure: bool = Field(False, alias="MINIO_SECURE")
    minio_bucket: str = Field("mlflow-artifacts", alias="MINIO_BUCKET")
    minio_presign: bool = Field(False, alias="MINIO_PRESIGN")
    minio_public_endpoint: str = Field("", alias="MINIO_PUBLIC_ENDPOINT")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        folder = value.expanduser().resolve()
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not existing.is_dir():
            raise ValueError(f"{existing} is not a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"{existing} is not writable")
        return folder

    @field_validator("base_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        if value and not _BASE_PATH.fullmatch(value):
            raise ValueError("not a path such as /moescope (it begins with / and ends without)")
        return value

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        known = {"sqlite", "http", "https", "file", "postgresql", "mysql", "mssql"}
        if value and urlsplit(value).scheme.split("+")[0] not in known:
            raise ValueError("not a tracking URI (sqlite:///…, http://… or postgresql://…)")
        return value

    @field_validator("mlflow_ui")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not _is_address(value, path=True):
            raise ValueError("not an address such as https://host:5000")
        return value.rstrip("/")

    @field_validator("minio_endpoint", "minio_public_endpoint")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value and not _is_address(value if "://" in value else f"http://{value}"):
            raise ValueError("not a host with its port, such as localhost:9000")
        return value.rstrip("/")

    @field_validator("minio_access_key", "minio_secret_key")
    @classmethod
    def _given_with_an_endpoint(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if info.data.get("minio_endpoint") and not value.get_secret_value():
            raise ValueError("it is missing, and MINIO_ENDPOINT is set")
        if not value.get_secret_value().isprintable():
            raise ValueError("it holds a line break or another control character")
        return value

    @field_validator("minio_bucket")
    @classmethod
    def _bucket_name(cls, value: str) -> str:
        if not is_bucket_name(value):
            raise ValueError(BUCKET_RULES)
        return value

    @field_validator("models")
    @classmethod
    def _models_parse(cls, value: str) -> str:
        ids = [spec.id for spec in _parse_models(value)]
        twice = next((id_ for id_ in ids if ids.count(id_) > 1), None)
        if twice:
            raise ValueError(f"«{twice}» is listed twice")
        return value

    @model_validator(mode="after")
    def _model_parses(self) -> Self:
        self.model_specs()
        return self

    def model_specs(self) -> dict[str, ModelSpec]:
        """The models that may be chosen, by id; the default one first.

        Raises ValueError for a model that is neither a hub id nor `name=path` with an
        existing folder.
        """
        listed = _parse_models(self.models)
        default = next((spec for spec in listed if spec.id == self.model), None)
        specs = [default or _parse_model(self.model), *listed]
        return {spec.id: _of_a_listed_folder(spec, specs) for spec in specs}

    def environment(self) -> dict[str, str]:
        """The variables that give another process the same settings, secrets among them."""
        plain = {
            str(field.alias): getattr(self, name) for name, field in type(self).model_fields.items()
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in plain.items()
        }

    @property
    def default_model(self) -> str:
        """Id of the model that is loaded at start-up."""
        return next(iter(self.model_specs()))

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: the configured one, else sqlite in the data folder."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.data_dir / 'mlflow.db'}"


def is_bucket_name(name: str) -> bool:
    """Whether S3 allows a bucket to be called that."""
    return _BUCKET.fullmatch(name) is not None


def _is_address(value: str, path: bool = False) -> bool:
    """Whether it is a scheme and a host, perhaps a port and a `path`, and nothing besides."""
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https")
            and _HOST.fullmatch(parts.hostname or "") is not None
            and parts.port != 0
            and not parts.netloc.endswith(":")
            and "@" not in parts.netloc
            and (path or parts.path in ("", "/"))
            and not re.search(r"[?#\s]", value)
        )
    except ValueError:
        return False


def _parse_models(entries: str) -> list[ModelSpec]:
    return [_parse_model(entry) for entry in entries.split(",") if entry.strip()]


def _parse_model(entry: str) -> ModelSpec:
    name, separator, path = (part.strip() for part in entry.partition("="))
    exact, at, mode = name.partition("@")
    if at and (not exact or mode != _FAST):
        raise ValueError(f"«{name}»: after a model's id only @{_FAST} can stand")
    fast = bool(at)
    if separator:
        folder = Path(path).expanduser()
        if not name or not (folder / "config.json").is_file():
            raise ValueError(f"«{entry.strip()}»: {path or 'the path'} is no folder of a model")
        return ModelSpec(name, str(folder.resolve()), local=True, fast=fast)
    if exact == BUNDLED_MODEL:
        return ModelSpec(name, str(BUNDLED_FOLDER), local=True, fast=fast)
    if exact.count("/") > 1 or exact.startswith(("/", ".")):
        raise ValueError(f"«{name}» is no model id; a local folder is given as name=path")
    return ModelSpec(name, exact, local=False, fast=fast)


def _of_a_listed_folder(spec: ModelSpec, specs: list[ModelSpec]) -> ModelSpec:
    """A fast model's folder is that of the exact one of its name, if that is listed."""
    exact = next((one for one in specs if one.local and one.id == spec.source), None)
    return replace(spec, source=exact.source, local=True) if spec.fast and exact else spec


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` by environment name win.

    Raises SettingsError with one line that names the variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "MOESCOPE_MODEL"
        if name in Settings.model_fields:  # A default is refused under the field's own name.
            name = Settings.model_fields[name].alias or name
        message = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{name}: {message}") from None
    except UnicodeDecodeError:
        raise SettingsError(".env: the file is not UTF-8 text") from None
