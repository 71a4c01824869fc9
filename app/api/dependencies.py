"""What several routes are given."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from app.analysis import Analyst


def analyst_of(request: Request) -> Analyst:
    """The analyst that the application was made with."""
    analyst: Analyst = request.app.state.analyst
    return analyst


Analyses = Annotated[Analyst, Depends(analyst_of)]
