"""Ingest: batches from the gateways become points in the time-series store, or dead letters."""
