"""Data: files and hub ids in, examples and token ids out."""
