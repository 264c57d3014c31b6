"""What the engine needs from outside: the relational store and its schema."""
