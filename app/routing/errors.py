"""Errors of this room. Each message is one short line that may be shown to a user."""

from __future__ import annotations


class RoutingError(Exception):
    """Base of everything that can go wrong between a text and its trace."""


class InvalidTextError(RoutingError):
    """The text cannot be analysed (blank, or not encodable)."""


class TextTooLongError(RoutingError):
    """The text has more tokens than the limit allows."""


class UnknownModelError(RoutingError):
    """The model is not one of those that may be chosen."""


class ModelNotReadyError(RoutingError):
    """The model is still being loaded; asking again later can work."""


class ModelLoadError(RoutingError):
    """The model could not be loaded, or its routers could not be read."""


class BusyError(RoutingError):
    """Too many analyses are waiting; asking again in a moment can work."""


class InvalidTaskError(RoutingError):
    """What is asked for does not go with the model, or a setting is out of range."""


class TraceError(RoutingError):
    """Arrays that contradict each other: no trace is made of them."""


def one_line(error: Exception) -> str:
    """What it says first, or what it is; at most 300 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
