"""How the bundled model ``switch-mini-8`` was made, from text to weights and card."""
