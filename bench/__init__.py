"""Speed beside peers and limits: ``python -m bench.NAME`` from the root of the repository."""
