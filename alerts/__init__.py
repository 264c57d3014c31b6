"""The alert engine: what the readings mean, what needs a crew, and who goes."""
