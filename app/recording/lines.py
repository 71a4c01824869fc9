"""Lines of the history: of a run in the store, of an analysis in the outbox. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from app.recording import content
from app.recording.base import Query, RunSummary
from app.recording.outbox import Item
from app.routing.trace import RoutingTrace

if TYPE_CHECKING:
    from mlflow.entities import Run


def shown(trace: RoutingTrace) -> dict[str, Any]:
    """What the history shows of an analysis, as plain JSON values."""
    return {
        "model": trace.model.id,
        "text": content.text_beginning(trace.text),
        "tokens": content.token_count(trace),
        "stacks": list(trace.stacks),
        "load": content.load_code(trace),
    }


def of_item(item: Item) -> RunSummary:
    """The line of an analysis that was accepted here."""
    told = item.summary
    return RunSummary(
        run_id=item.run_id or item.id,
        created=item.created,
        model=str(told["model"]),
        text=str(told["text"]),
        tokens=int(told["tokens"]),
        status=item.state,
        name=str(told["text"]),
        stacks=tuple(told["stacks"]),
        load=str(told["load"]),
        detail=item.detail,
    )


def of_run(run: Run, sort: str = "created") -> RunSummary:
    """The line of a recorded run, an analysis or a pass; `sort` names the metric beside it."""
    tags = run.data.tags
    # A name stands in the text's tag too, on a line before it, so that one search finds both.
    text = tags.get(content.TAG_TEXT, "").rpartition("\n")[2]
    return RunSummary(
        run_id=run.info.run_id,
        created=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        model=tags.get(content.TAG_MODEL, ""),
        text=text,
        tokens=_number(tags.get(content.TAG_TOKENS, "")) or 0,
        status="recorded",
        name=run.info.run_name or text,
        tags=tuple(tag for tag in tags.get(content.TAG_TAGS, "").split(",") if tag),
        stacks=tuple(stack for stack in tags.get(content.TAG_STACKS, "").split(",") if stack),
        size=_number(tags.get(content.TAG_SIZE, "")),
        load=tags.get(content.TAG_LOAD, ""),
        value=run.data.metrics.get(sort),
        kind="corpus" if content.TAG_PASS in tags else "analysis",
        documents=_number(tags.get(content.TAG_DOCUMENTS, "")),
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def matches(run: RunSummary, query: Query) -> bool:
    """Whether a line is one that a query asks for."""
    part = query.text.lower()
    day = run.created.date()
    return (
        (not query.kind or run.kind == query.kind)
        and (not query.model or run.model == query.model)
        and (not part or part in run.text.lower() or part in run.name.lower())
        and (not query.stack or query.stack in run.stacks)
        and (not query.tag or query.tag in run.tags)
        and (query.since is None or query.since <= day)
        and (query.until is None or day <= query.until)
    )
