"""From a checkpoint to the folder that the app loads."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from training import model as architecture
from training import tokenizer


def export(checkpoint: Path, pieces: Tokenizer, folder: Path) -> None:
    """Write weights in bfloat16, configuration and tokenizer; each file appears whole.

    Others may be reading the folder: files are written beside it and renamed into place.
    """
    state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = architecture.build(seed=0)
    model.load_state_dict(state["model"])
    model.to(torch.bfloat16)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".export-", dir=folder.parent))
    try:
        model.save_pretrained(partial)
        tokenizer.save(pieces, partial)
        facts = {**state["progress"], "options": state["options"], "device": state["device"]}
        facts["minutes"] = round(facts.pop("seconds") / 60, 1)
        facts.pop("load")  # a running mean of the training mix; the card measures held-out text
        (partial / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        for name in ("config.json", "generation_config.json"):
            _clean(partial / name)
        for path in sorted(partial.iterdir()):
            path.chmod(0o644)
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(partial)


def _clean(path: Path) -> None:
    """Leave out where the model happened to lie when it was saved."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[architecture.Model, Tokenizer]:
    """The exported model in float32 with its tokenizer; refuses weights that do not fit."""
    loaded: Any = architecture.Model.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    model, info = loaded
    wrong = {key: value for key, value in info.items() if value}
    if wrong:
        raise ValueError(f"weights in {folder} do not fit the model: {wrong}")
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))
