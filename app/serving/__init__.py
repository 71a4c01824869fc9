"""Answers with the models of the registry, and watches what they are asked. Knows no web."""
