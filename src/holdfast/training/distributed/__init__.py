"""Training in several processes: which engine runs it, and that the processes never part ways."""
