"""Tables to learn from: files, columns, preparation, schemas, splits and drift. Pure."""
