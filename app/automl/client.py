"""H2O's REST interface, as much of it as a training needs.

H2O's own Python client talks to one server per process, waits for a training without a look at
what it has made so far, and tries for minutes to reach a server that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

# A busy machine lets even a small answer wait.
_TIMEOUT = urllib3.Timeout(connect=5.0, read=180.0)
_COPY_BYTES = 1 << 20
_BINARY = {"content-type": "application/octet-stream"}


class H2OError(Exception):
    """H2O refused something, or is gone; the message is one line."""


@dataclass(frozen=True)
class Job:
    """Something long that H2O does. `running` until it is done, cancelled or failed.

    `now` says in H2O's words what it does, `error` why it failed.
    """

    running: bool
    now: str
    error: str


@dataclass(frozen=True)
class Automl:
    """A training that has begun: the keys of its job and of what it makes."""

    job: str
    key: str


class Client:
    """One H2O server at `address` (host:port) with the name and password that it wants."""

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address
        self._base = f"http://{address}"
        headers = urllib3.make_headers(basic_auth=f"{user}:{password}")
        self._pool = urllib3.PoolManager(headers=headers, timeout=_TIMEOUT, retries=False)

    def version(self) -> str:
        """The server's version, once it answers. Raises H2OError."""
        return str(self._get("/3/Cloud")["version"])

    def upload(self, file: Path, frame: str, types: Mapping[str, str]) -> None:
        """Hands in a CSV with a header whose columns have these `types` (Numeric, Enum), as
        `frame`. Raises H2OError."""
        with file.open("rb") as rows:
            sent = self.ask(
                "POST", f"/3/PostFile?destination_frame={frame}.csv", body=rows, headers=_BINARY
            )
        asked = {
            "destination_frame": frame,
            "source_frames": json.dumps([sent["destination_frame"]]),
            "parse_type": "CSV",
            "separator": ord(","),
            "single_quotes": "false",
            "check_header": 1,
            "number_columns": len(types),
            "column_names": json.dumps(list(types)),
            "column_types": json.dumps(list(types.values())),
            "chunk_size": 1 << 22,
            "delete_on_done": "true",
            "blocking": "true",
        }
        # As a body: thousands of columns make no address.
        parsed = self.ask("POST", "/3/Parse", fields=asked, encode_multipart=False)
        if error := _job(parsed["job"]).error:
            raise H2OError(error)

    def begin_automl(self, asked: Mapping[str, Any]) -> Automl:
        """Begins to train what is asked for in H2O's words. Raises H2OError."""
        job = self.ask("POST", "/99/AutoMLBuilder", json=asked)["job"]
        return Automl(job["key"]["name"], job["dest"]["name"])

    def job(self, automl: Automl) -> Job:
        """How far a training is. Raises H2OError."""
        return _job(self._get(f"/3/Jobs/{_part(automl.job)}")["jobs"][0])

    def cancel(self, automl: Automl) -> None:
        """Asks a training to end; what it has made stays. Raises H2OError."""
        self.ask("POST", f"/3/Jobs/{_part(automl.job)}/cancel")

    def automl(self, automl: Automl) -> dict[str, Any]:
        """What a training has made so far: `leaderboard_table`, `event_log_table` and more, as
        H2O tells it. Raises H2OError."""
        return self._get(f"/99/AutoML/{_part(automl.key)}")

    def seconds(self, automl: Automl) -> dict[str, float]:
        """How long each model took to train, without its cross-validation, by the models' keys.
        Raises H2OError."""
        extension = "training_time_ms"
        path = f"/99/Leaderboards/{_part(automl.key)}?extensions={extension}"
        rows = rows_of(self._get(path)["table"])
        return {row["model_id"]: float(row[extension]) / 1000 for row in rows}

    def mojo(self, model: str, file: Path) -> None:
        """Writes a model into a file, in the form that needs no server. Raises H2OError."""
        address = f"{self._base}/3/Models/{_part(model)}/mojo"
        try:
            with self._pool.request("GET", address, preload_content=False) as response:
                if response.status != 200:
                    raise H2OError(_reason(response.status, response.read()))
                with file.open("wb") as written:
                    for part in response.stream(_COPY_BYTES):
                        written.write(part)
        except urllib3.exceptions.HTTPError as error:
            raise H2OError("H2O does not answer any more") from error

    def ask(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """Any request of H2O's interface, with `content` as urllib3 takes it. Raises H2OError."""
        headers = {**self._pool.headers, **content.pop("headers", {})}
        try:
            response = self._pool.request(method, self._base + path, headers=headers, **content)
        except urllib3.exceptions.HTTPError as error:
            raise H2OError("H2O does not answer any more") from error
        if response.status != 200:
            raise H2OError(_reason(response.status, response.data))
        # H2O writes numbers as JSON has none: NaN, Infinity.
        answer: dict[str, Any] = json.loads(response.data)
        return answer

    def _get(self, path: str) -> dict[str, Any]:
        return self.ask("GET", path)


def rows_of(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table as H2O tells it, by the names of its columns."""
    names: Sequence[str] = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in zip(*table["data"], strict=True)]


def _part(key: str) -> str:
    return quote(key, safe="")


def _job(told: Mapping[str, Any]) -> Job:
    failed = told["status"] == "FAILED"
    return Job(
        running=told["status"] in ("CREATED", "RUNNING"),
        now=str(told["progress_msg"] or ""),
        error=_line(str(told["exception"] or "H2O failed without a word")) if failed else "",
    )


def _reason(status: int, body: bytes) -> str:
    try:
        said = str(json.loads(body)["msg"])
    except (ValueError, KeyError, TypeError):
        return f"H2O answered with status {status}"
    return _line(said.replace("ERROR MESSAGE:", ""))


def _line(text: str) -> str:
    return " ".join(text.split())
