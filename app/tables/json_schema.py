"""A model's schema for programs: JSON Schema (draft 2020-12) of a row, and a row that fits it."""

from __future__ import annotations

from typing import Any

from app.tables.schema import Field, Schema

_EXAMPLES = 10


def row_schema(schema: Schema) -> dict[str, Any]:
    """What a row is. It says less than `Schema.check`, which takes numbers spelt as text too."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"What «{schema.target}» is predicted from",
        "type": "object",
        "properties": {each.name: _property(each) for each in schema.fields},
        "required": [each.name for each in schema.fields],
    }


def example_row(schema: Schema) -> dict[str, Any]:
    """A row of typical values; a hashed column has none, and says so."""
    return {each.name: _example(each) for each in schema.fields}


def _property(field: Field) -> dict[str, Any]:
    null: list[Any] = ["null"] if field.missing else []
    if field.kind == "number":
        about: dict[str, Any] = {"type": ["number", *null]}
        if field.low is not None:
            about["description"] = f"{field.low:g} to {field.high:g} in the training"
    elif field.others == "refused":
        about = {"enum": [*field.levels, *([None] if null else [])]}
    else:
        about = {"type": ["string", "number", "boolean", *null]}
        if field.levels:
            about["examples"] = list(field.levels[:_EXAMPLES])
    return about


def _example(field: Field) -> Any:
    if field.typical is None and field.kind == "category":
        return "text"
    return field.typical
