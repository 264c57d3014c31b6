"""Pure logic of a node: no device modules, time and randomness are arguments."""
