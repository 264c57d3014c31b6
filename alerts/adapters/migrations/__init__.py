"""Forward-only schema migrations, run by :func:`alerts.adapters.database.migrate`."""
