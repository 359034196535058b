"""The repair of our own: its settings, its worst case over the six attacks, and where it breaks."""
