"""What the routers did: capture, its record and its metrics. Knows no web and no store."""
