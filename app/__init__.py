"""MoEScope: see where a Mixture-of-Experts model sends every token."""

__version__ = "0.1.0"
