"""What is remembered of a model, and what is not believed."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from app.routing.verdicts import Site, Verdict, Verdicts, key_of

VERDICT = Verdict(
    sites=(Site("encoder.router", 8, 1, 64, "softmax", "top-k"),),
    notes=("a note", "«eine» Notiz"),
    batches=True,
    generates=False,
    packed=True,
    agreement=(0.991, 4212, 0.99),
    choices=(((3,), (1,)), ((0,), (7,))),
)
UNUSABLE = [
    b"",
    b"{ not json",
    b"[]",
    b"null",
    b'{"sites": []}',
    b"\xff\xfe\x00",
    json.dumps({"sites": "all", "notes": [], "batches": 1}).encode(),
]


@pytest.fixture
def verdicts(tmp_path: Path) -> Verdicts:
    return Verdicts(tmp_path / "models")


class TestVerdicts:
    @pytest.mark.parametrize("verdict", [VERDICT, replace(VERDICT, agreement=None)])
    def test_kept_is_found(self, verdicts: Verdicts, verdict: Verdict) -> None:
        assert verdicts.find("a") is None
        verdicts.keep("a", verdict)
        assert verdicts.find("a") == verdict
        assert verdicts.find("b") is None

    @pytest.mark.parametrize("content", UNUSABLE)
    def test_a_spoilt_file_counts_as_missing(
        self, verdicts: Verdicts, tmp_path: Path, content: bytes
    ) -> None:
        verdicts.keep("a", VERDICT)
        (file,) = (tmp_path / "models").iterdir()
        file.write_bytes(content)
        assert verdicts.find("a") is None
        verdicts.keep("a", VERDICT)
        assert verdicts.find("a") == VERDICT

    def test_another_format_counts_as_missing(self, verdicts: Verdicts) -> None:
        verdicts.keep("a", replace(VERDICT, format=2))
        assert verdicts.find("a") is None

    def test_without_a_folder_nothing_is_kept(self) -> None:
        verdicts = Verdicts(None)
        verdicts.keep("a", VERDICT)
        assert verdicts.find("a") is None

    def test_a_folder_that_takes_nothing_is_no_error(self, tmp_path: Path) -> None:
        # A file where the folder should be: root, too, can't write into that.
        (tmp_path / "models").write_text("in the way", encoding="utf-8")
        verdicts = Verdicts(tmp_path / "models")
        verdicts.keep("a", VERDICT)
        assert verdicts.find("a") is None
        weights = tmp_path / "weights"
        weights.write_bytes(b"1234")
        assert verdicts.sha256(weights) == hashlib.sha256(b"1234").hexdigest()

    def test_nothing_unfinished_is_left(self, verdicts: Verdicts, tmp_path: Path) -> None:
        for _ in range(3):
            verdicts.keep("a", VERDICT)
        assert len(list((tmp_path / "models").iterdir())) == 1


class TestDigests:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        path = tmp_path / "model.safetensors"
        path.write_bytes(b"some weights")
        return path

    def test_a_file_is_read_once(
        self, verdicts: Verdicts, weights: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = verdicts.sha256(weights)
        assert digest == hashlib.sha256(b"some weights").hexdigest()
        monkeypatch.delattr(hashlib, "file_digest")
        assert verdicts.sha256(weights) == digest

    def test_other_content_of_the_same_size_and_time_is_noticed(
        self, verdicts: Verdicts, weights: Path
    ) -> None:
        before, status = verdicts.sha256(weights), weights.stat()
        weights.write_bytes(b"more weights")
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert weights.stat().st_mtime_ns == status.st_mtime_ns
        assert verdicts.sha256(weights) == hashlib.sha256(b"more weights").hexdigest() != before

    def test_a_file_put_in_its_place_is_noticed(
        self, verdicts: Verdicts, weights: Path, tmp_path: Path
    ) -> None:
        verdicts.sha256(weights)
        other = tmp_path / "other"
        other.write_bytes(b"more weights")
        other.replace(weights)
        assert verdicts.sha256(weights) == hashlib.sha256(b"more weights").hexdigest()

    def test_a_digest_of_another_file_is_not_believed(
        self, verdicts: Verdicts, weights: Path, tmp_path: Path
    ) -> None:
        digest = verdicts.sha256(weights)
        (kept,) = (tmp_path / "models").iterdir()
        content = json.loads(kept.read_text(encoding="utf-8"))
        kept.write_text(
            json.dumps(content | {"path": "/elsewhere", "sha256": "0" * 64}), encoding="utf-8"
        )
        assert verdicts.sha256(weights) == digest


def test_a_key_depends_on_every_part_and_not_on_their_order() -> None:
    parts = {"weights": "a", "dtype": "float32", "libraries": {"torch": "2"}}
    key = key_of(parts)
    assert key == key_of(dict(reversed(parts.items())))
    for change in ({"weights": "b"}, {"dtype": "bfloat16"}, {"libraries": {"torch": "3"}}):
        assert key_of(parts | change) != key
