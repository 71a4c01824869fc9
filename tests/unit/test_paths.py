"""Which part of the address space is the API's, and how much its requests may bring."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.paths import brings_rows, is_api, is_upload


def asked(path: str, method: str = "POST", base: str = "") -> dict[str, Any]:
    return {"type": "http", "path": base + path, "method": method, "root_path": base}


@pytest.mark.parametrize("base", ["", "/moescope"])
def test_a_prediction_is_the_apis_and_its_page_is_not(base: str) -> None:
    assert is_api(asked("/predict", base=base))
    assert not is_api(asked("/predict", "GET", base))
    assert not is_api(asked("/predict", "HEAD", base))
    assert not is_api(asked("/predict/", base=base))
    assert is_api(asked("/api/v1/models/iris/predict", base=base))


@pytest.mark.parametrize("base", ["", "/moescope"])
def test_rows_may_be_many(base: str) -> None:
    for path in ("/predict", "/api/v1/models/iris/predict", "/api/v1/models/a%20b/labels"):
        assert brings_rows(asked(path, base=base))
    for path in ("/api/v1/analyses", "/api/v1/models/a/b/predict", "/api/v1/models/a/promote"):
        assert not brings_rows(asked(path, base=base))


def test_uploads_stream() -> None:
    assert is_upload(asked("/api/v1/tables"))
    assert not is_upload(asked("/api/v1/tables", "GET"))
