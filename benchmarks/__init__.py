"""How long things take, told as ratios to what can't be avoided. Run with `make bench`."""
