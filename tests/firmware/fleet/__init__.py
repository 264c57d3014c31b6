"""Many real nodes at once."""
