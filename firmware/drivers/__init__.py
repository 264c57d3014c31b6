"""One file per sensor; the bus or pin is passed in."""
