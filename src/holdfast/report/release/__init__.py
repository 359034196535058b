"""The verdict of a gate for readers and for other programs; all of it from one ``Gate``."""
