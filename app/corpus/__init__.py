"""Corpora: how they are read, what a pass over one counts, and what its counts say."""
