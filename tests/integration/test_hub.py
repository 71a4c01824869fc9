"""Models by their hub id: against a small hub of our own, and on demand against the real one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from app.routing.capture import capture
from app.routing.models import ModelRegistry
from app.settings import load_settings
from tests.conftest import load

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "switch-base-8-routing.json"
# The record was made by another version of the library, on another machine.
PROBABILITY_TOLERANCE = 1e-2
COMMIT = "5e8f0c1b2a3d4c5b6a7980e1f2d3c4b5a6978810"
TEXT = "a text to trace"
# In a process of its own, because the hub's address is read when the library is imported.
LOAD = """
import json, sys
from app.routing.capture import capture
from app.routing.errors import ModelLoadError
from app.routing.models import ModelRegistry
from app.settings import load_settings

text, *ids = sys.argv[1:]
settings = load_settings(MOESCOPE_MODEL=ids[0], MOESCOPE_MODELS=",".join(ids))
models = ModelRegistry(settings.model_specs(), settings.dtype, threads=1)
answers = {}
for id_ in ids:
    try:
        trace = capture(models.get(id_, wait=90), text, 99)
    except ModelLoadError as error:
        answers[id_] = str(error)
    else:
        answers[id_] = {
            "identity": vars(trace.model),
            "experts": [layer.experts.tolist() for layer in trace.layers],
            "bytes": [models.status(id_).done_bytes, models.status(id_).total_bytes],
        }
print(json.dumps(answers))
"""


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder as the repository `org/tiny`; yields the address and the files asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, *rest = self.path.partition("?")[0].strip("/").split("/")
            if kind == "api":
                self.describe(rest)
            else:
                self.send_file(rest[-1])

        do_HEAD = do_GET  # noqa: N815 (the server's own name for it)

        def describe(self, path: list[str]) -> None:
            if path[:3] != ["models", "org", "tiny"]:
                self.answer(404, b"", **{"X-Error-Code": "RepoNotFound"})
                return
            names = sorted(path.name for path in folder.iterdir())
            content: Any = {"id": "org/tiny", "sha": COMMIT}
            content["siblings"] = [{"rfilename": name} for name in names]
            if "tree" in path:
                content = [
                    {
                        "type": "file",
                        "path": n,
                        "oid": "0" * 40,
                        "size": (folder / n).stat().st_size,
                    }
                    for n in names
                ]
            self.answer(200, json.dumps(content).encode(), **{"Content-Type": "application/json"})

        def send_file(self, name: str) -> None:
            asked.append(name)
            body = (folder / name).read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()}"'
            self.answer(200, body, **{"ETag": tag, "X-Repo-Commit": COMMIT})

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Keeps the tests' output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def load_from(address: str, home: Path, *models: str) -> dict[str, Any]:
    """Loads models by their hub ids in a fresh process; what came of each."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, TEXT, *models],
        env={**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def experts_of(folder: Path) -> list[list[list[int]]]:
    return [layer.experts.tolist() for layer in capture(load(folder), TEXT, 99).layers]


def test_a_hub_id_is_downloaded_once_and_traced(
    tiny_switch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tiny_switch()
    (folder / "pytorch_model.bin").write_bytes(b"the same weights once more")
    size = (folder / "model.safetensors").stat().st_size
    expected = {
        "identity": {
            "id": "org/tiny",
            "revision": COMMIT,
            "architecture": "SwitchTransformersForConditionalGeneration",
        },
        "experts": experts_of(folder),
        "bytes": [size, size],
    }
    with hub(folder) as (address, asked):
        answers = load_from(address, tmp_path, "org/tiny", "org/other")
    assert answers["org/tiny"] == expected
    assert answers["org/other"] == (
        "the model org/other can't be used: the hub has no such model, or keeps it from the public"
    )
    assert "model.safetensors" in asked
    assert "pytorch_model.bin" not in asked

    # The hub is gone by now: what was downloaded still loads, the rest is refused in one line.
    answers = load_from(address, tmp_path, "org/tiny", "org/third")
    assert answers["org/tiny"] == expected
    assert "the hub can't be reached and no copy is at hand" in answers["org/third"]
    assert len(answers["org/third"].splitlines()) == 1


def test_a_repository_with_older_weights_is_read_too(
    tiny_switch: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tiny_switch()
    expected = experts_of(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with hub(folder) as (address, asked):
        answers = load_from(address, tmp_path, "org/tiny")
    assert answers["org/tiny"]["experts"] == expected
    assert "pytorch_model.bin" in asked


@pytest.mark.hub
@pytest.mark.timeout(3600)  # two and a half gigabytes over any line
def test_switch_base_8_routes_as_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOESCOPE_MODEL", recorded["model"])
    settings = load_settings()
    models = ModelRegistry(settings.model_specs(), settings.dtype, settings.threads)
    trace = capture(models.get(models.default, wait=3500), recorded["text"], settings.max_tokens)

    assert [layer.name for layer in trace.layers] == list(recorded["layers"])
    for layer, expected in zip(trace.layers, recorded["layers"].values(), strict=True):
        assert layer.experts[:, 0].tolist() == expected["expert"], layer.name
        np.testing.assert_allclose(
            layer.probabilities.max(axis=1),
            expected["probability"],
            atol=PROBABILITY_TOLERANCE,
            err_msg=layer.name,
        )
