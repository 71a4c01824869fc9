"""google/switch-base-8 itself against a recorded routing of it; asked for with `-m hub`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from app.routing.capture import capture
from app.routing.models import ModelRegistry
from app.settings import load_settings

RECORDED = Path(__file__).parents[1] / "data" / "switch-base-8-routing.json"
# The record was made by another version of the library, on another machine.
PROBABILITY_TOLERANCE = 1e-2


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
