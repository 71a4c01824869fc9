"""What the command line can do besides serving: one module per verb."""
