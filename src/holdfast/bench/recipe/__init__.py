"""A recipe read, checked and expanded into cells."""
