"""Files as documents: formats, encodings, broken rows, a place to go on from."""
