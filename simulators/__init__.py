"""A square whose truth is known: visitors, virtual nodes, crews, and recorded data replayed as devices."""
