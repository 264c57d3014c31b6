"""Policies played against each other on the same square, and what they cost."""
