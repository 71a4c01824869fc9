"""Runs the benchmarks, all or those named, and prints a table with the ratios first."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks import answering, exporting, painting, recording, tracing
from benchmarks.measure import Result
from benchmarks.setting import machine

BENCHMARKS = {
    "tracing": tracing.run,
    "exporting": exporting.run,
    "recording": recording.run,
    "answering": answering.run,
    "painting": painting.run,
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
    print(f"\n{'ratio':>8}  {'median':>10}  {'p95':>10}  {'baseline':>10}  what", flush=True)
    results: list[Result] = []
    for name in names or BENCHMARKS:
        for result in BENCHMARKS[name]():
            results.append(result)
            print(_line(result), flush=True)
    content = {"machine": about, "results": [result.plain() for result in results]}
    OUTPUT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{OUTPUT} written, {time.monotonic() - start:.0f} s")
    return 0


def _line(result: Result) -> str:
    times = (result.median_ms, result.p95_ms, result.baseline_ms)
    columns = "  ".join(f"{value:7.2f} ms" for value in times)
    return f"{result.ratio:7.2f}×  {columns}  {result.name} / {result.baseline} (n={result.runs})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
