"""What attacks on a model found, as a result keeps it."""
