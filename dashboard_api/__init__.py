"""The dashboard: HTTP API, live stream and the pages of office and crews."""
