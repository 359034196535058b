"""One cell: what decides it, its run in stages, and what cells share."""
