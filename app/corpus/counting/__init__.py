"""What a pass counts: aggregates that merge, and whose size does not grow with the tokens."""
