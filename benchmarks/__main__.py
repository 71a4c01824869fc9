"""Runs the benchmarks, all or those named, and prints a table with the ratios first."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks import (
    answering,
    corpora,
    crowd,
    exporting,
    loading,
    painting,
    predicting,
    recording,
    tracing,
    visiting,
)
from benchmarks.measure import Amount, Result, Unmeasured
from benchmarks.setting import machine

BENCHMARKS = {
    "tracing": tracing.run,
    "corpora": corpora.run,
    "loading": loading.run,
    "exporting": exporting.run,
    "recording": recording.run,
    "answering": answering.run,
    "predicting": predicting.run,
    "painting": painting.run,
    "visiting": visiting.run,
    "crowd": crowd.run,
}
OUTPUT = Path("bench.json")


def main(names: list[str]) -> int:
    """Exit code 2 for a name that no benchmark has."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    start = time.monotonic()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    heads = f"{'ratio':>8}  {'median':>10}  {'p95':>10}  {'baseline':>10}  {'goal':38}  what"
    print(f"\n{heads}", flush=True)
    results: list[Result | Amount | Unmeasured] = []
    for name in names or BENCHMARKS:
        for result in BENCHMARKS[name]():
            results.append(result)
            print(result.line(), flush=True)
    content = {"machine": about, "results": [result.plain() for result in results]}
    OUTPUT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{OUTPUT} written, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
