"""Pieces of the interface that pages share."""
