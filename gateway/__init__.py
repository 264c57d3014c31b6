"""The edge process: envelope check, durable spool, acknowledgements, store and forward."""
