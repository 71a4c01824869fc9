"""HTTP: routes over the analyst, errors as problems, documentation that works offline."""
