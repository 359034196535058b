"""Whole on disk, or not at all: folders, weights, adapters, hashes, what is made once."""
