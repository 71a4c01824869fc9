"""How answers reach the browser: the pages' adapter, files that are kept compressed."""
