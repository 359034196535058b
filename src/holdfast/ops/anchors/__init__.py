"""Holding a model near where it began: what it said then, and how far it is from that now."""
