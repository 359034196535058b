"""A model in training, seen from outside: as it would be served, whatever is attached to it."""
