"""Loads a model from a local folder or the hub: examined, or known from an earlier start."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import AutoConfig

from app.routing.agreement import Agreement
from app.routing.checkpoint import (
    check_routers,
    end_tokens,
    model_class,
    read_model,
    read_tokenizer,
    tell_generation,
    tokenizer_hash,
    weight_files,
)
from app.routing.checks import examine, try_out
from app.routing.hub import download
from app.routing.loaded import LoadedModel
from app.routing.packed import can_pack
from app.routing.packing import NOT_PACKED, check_fast, fast_model, pack_layers, packed
from app.routing.probes import PROBES, probe
from app.routing.routers.base import RouterSite
from app.routing.routers.discovery import find_routers
from app.routing.trace import ModelIdentity, RoutingTrace
from app.routing.verdicts import Site, Verdict, Verdicts, key_of
from app.settings import ModelSpec

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")
_IN_BFLOAT16 = "it runs in bfloat16, as the library does: choices can differ from float32"
# Of the first probe's choices: another number of threads can turn a near tie.
_SANE = 0.95

Progress = Callable[[int, int], None]
Choices = tuple[tuple[tuple[int, ...], ...], ...]


def load_model(
    spec: ModelSpec,
    dtype: torch.dtype,
    lock: threading.Lock,
    progress: Progress = lambda _done, _total: None,
    verdicts: Verdicts | None = None,
) -> LoadedModel:
    """Loads a model from a local folder or from the hub, through the same code.

    `progress` is told bytes done and bytes in all. What `verdicts` know of the same weights,
    libraries and code is not found out again, but for one probe. A spec in fast mode runs
    with bfloat16 layers whatever the `dtype`. Raises ModelLoadError when its routers can't be
    read, weights are missing, the tokenizer does not fit or fast mode can't be; whatever the
    library raises otherwise.
    """
    verdicts = verdicts or Verdicts(None)
    dtype = torch.float32 if spec.fast else dtype
    folder = Path(spec.source) if spec.local else download(spec.source, progress)
    weights = weight_files(folder)
    size = sum(path.stat().st_size for path in weights)
    progress(0, size)
    # The configuration counts too: it holds the capacity.
    files = [folder / "config.json", *weights]
    revision = _digest(files, verdicts) if spec.local else folder.name
    read = partial(_read, spec, folder, revision, dtype, lock)
    loaded = read()
    key = _key(loaded, spec, files)
    verdict = verdicts.find(key)
    found = _known(loaded, spec, verdict) if verdict else None
    if found is None:
        found, verdict = _examined(read() if verdict else loaded, spec, read)
        verdicts.keep(key, verdict)
    progress(size, size)
    return found


def _read(
    spec: ModelSpec, folder: Path, revision: str, dtype: torch.dtype, lock: threading.Lock
) -> LoadedModel:
    """The model as the library makes it, its routers not yet looked for."""
    config = AutoConfig.from_pretrained(folder)
    kind = model_class(config)
    check_routers(kind, config)
    model = read_model(kind, folder, dtype)
    tokenizer = read_tokenizer(folder, model)
    ends = end_tokens(model)
    tell_generation(model)
    return LoadedModel(
        identity=ModelIdentity(id=spec.id, revision=revision, architecture=kind.__name__),
        model=model,
        tokenizer=tokenizer,
        sites=(),
        provenance={
            "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "dtype": str(dtype).removeprefix("torch."),
            "device": str(model.device),
            "tokenizer": tokenizer_hash(tokenizer),
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
        lock=lock,
        end_tokens=ends,
    )


def _examined(
    loaded: LoadedModel, spec: ModelSpec, read: Callable[[], LoadedModel]
) -> tuple[LoadedModel, Verdict]:
    """The model after all checks, its layers packed where that can be, and what was found."""
    candidates = find_routers(loaded.model)
    if spec.fast:
        check_fast(loaded, candidates)
    loaded = examine(loaded, candidates)
    if loaded.provenance["dtype"] == "bfloat16":
        loaded = replace(loaded, notes=(_IN_BFLOAT16, *loaded.notes))
    done = packed(loaded, candidates, spec.fast)
    if done is None:
        again = read()
        loaded = examine(again, find_routers(again.model))
        done = replace(loaded, notes=(*loaded.notes, NOT_PACKED)), False
    loaded, is_packed = done
    loaded = try_out(loaded)
    return loaded, _verdict(loaded, is_packed)


def _verdict(loaded: LoadedModel, is_packed: bool) -> Verdict:
    fast = loaded.provenance.get("fast")
    return Verdict(
        sites=tuple(
            Site(
                site.name,
                site.num_experts,
                site.top_k,
                site.capacity,
                site.score_function,
                site.selection,
            )
            for site in loaded.sites
        ),
        notes=loaded.notes,
        batches=loaded.batches,
        generates=loaded.generates,
        packed=is_packed,
        agreement=(
            (fast["agreement"], fast["choices"], fast.get("agreement_in_batches")) if fast else None
        ),
        choices=_choices(probe(loaded, PROBES[0])),
    )


def _known(loaded: LoadedModel, spec: ModelSpec, verdict: Verdict) -> LoadedModel | None:
    """The model as an earlier start left it, if it still chooses as it did then."""
    candidates = find_routers(loaded.model)
    by_name = {candidate.name: candidate for candidate in candidates}
    try:
        loaded = replace(
            loaded,
            sites=tuple(
                RouterSite(**(vars(by_name[site.name]) | vars(site))) for site in verdict.sites
            ),
            batches=verdict.batches,
            generates=verdict.generates,
        )
        if verdict.packed:
            pack_layers(loaded, candidates, spec.fast)
        if verdict.agreement:
            loaded = fast_model(loaded, Agreement(*verdict.agreement))
        # These hold the one on fast mode already.
        loaded = replace(loaded, notes=verdict.notes)
        if _alike(_choices(probe(loaded, PROBES[0])), verdict.choices) >= _SANE:
            return loaded
    except Exception:
        log.info("%s: what is known of it does not fit", spec.id, exc_info=True)
    log.warning("%s does not route as when it was examined: it is examined again", spec.id)
    return None


def _key(loaded: LoadedModel, spec: ModelSpec, files: Sequence[Path]) -> str:
    stamps = [(path.name, path.stat().st_size) for path in files]
    return key_of(
        {
            "model": vars(loaded.identity),
            # A commit of the hub names its files, but not whether they are all there.
            "files": stamps,
            "provenance": {k: v for k, v in loaded.provenance.items() if k != "threads"},
            "fast": spec.fast,
            "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability()],
            "packs": [can_pack(torch.float32), can_pack(torch.bfloat16)],
        }
    )


def _digest(files: Sequence[Path], verdicts: Verdicts) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(bytes.fromhex(verdicts.sha256(path)))
    return digest.hexdigest()[:16]


def _choices(trace: RoutingTrace) -> Choices:
    return tuple(tuple(tuple(token) for token in layer.experts.tolist()) for layer in trace.layers)


def _alike(one: Choices, other: Choices) -> float:
    """The share of tokens over all layers whose experts are the same, as sets."""
    if [len(layer) for layer in one] != [len(layer) for layer in other]:
        return 0.0
    pairs = [
        set(a) == set(b)
        for layer, known in zip(one, other, strict=True)
        for a, b in zip(layer, known, strict=True)
    ]
    return sum(pairs) / len(pairs)
