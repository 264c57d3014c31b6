"""What people would otherwise install, each set up as its own documentation shows."""
