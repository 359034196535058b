"""Evaluation: generation, judges, metrics and the statistics that make a number trustworthy."""
