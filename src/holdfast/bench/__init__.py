"""Runs that end in a ``RunResult``: demo, tune, repair, evaluate and grids of them."""
