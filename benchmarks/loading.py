"""A model of the size of switch-base-8 at a second start: how long until it is ready, how large.

Held against reading the same files into fresh memory once. Both find them in the system's page
cache, as they do when a server is restarted, and both in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Amount, Goal, Result, result
from benchmarks.setting import standin

STARTS = 3
_TIME, _MEMORY = 1.5, 1.15
_IN_ITS_OWN_PROCESS = """
import json, sys, threading, time
from pathlib import Path
import torch
from app.routing.loading import load_model
from app.routing.verdicts import Verdicts
from app.settings import ModelSpec, load_settings

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024

def seconds(action):
    start = time.perf_counter()
    found = action()
    return time.perf_counter() - start, found

folder, memory = Path(sys.argv[1]), Path(sys.argv[2])
torch.set_num_threads(load_settings().threads)
files = sorted(folder.glob("*.safetensors"))
read, content = seconds(lambda: [path.read_bytes() for path in files])
size = sum(map(len, content))
del content
before = resident()
spec = ModelSpec("base-8", str(folder), local=True)
load, loaded = seconds(
    lambda: load_model(spec, torch.float32, threading.Lock(), verdicts=Verdicts(memory))
)
print(json.dumps({"read": read, "load": load, "share": (resident() - before) / size}))
"""


def run() -> Iterator[Result | Amount]:
    """Time of a second start, and memory at rest."""
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as memory:
        first = _start(memory)
        starts = [_start(memory) for _ in range(STARTS)]
    ready = result(
        "switch-base-8's size, second start → ready",
        [start["load"] for start in starts],
        "reading its weights once, from the page cache into memory",
        [start["read"] for start in starts],
    )
    yield replace(ready, goal=Goal("ratio", _TIME))
    yield Amount("switch-base-8's size, first start → ready (examined)", first["load"], "s")
    share = max(start["share"] for start in starts)
    name = "switch-base-8's size, memory at rest over that of its weights"
    yield Amount(name, share, "×", Goal("value", _MEMORY))


def _start(memory: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _IN_ITS_OWN_PROCESS, str(standin()), memory],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
