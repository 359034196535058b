"""Kits by name, and rows that teach kept apart from questions that test."""
