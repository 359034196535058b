"""Watching a run's drift, stopping it, and moving a defense's strength while it is on."""
