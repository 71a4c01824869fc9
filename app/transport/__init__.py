"""How answers reach the browser: files that are kept compressed."""
