"""Routes of the dashboard, one module per subject; each only parses, asks and answers."""
