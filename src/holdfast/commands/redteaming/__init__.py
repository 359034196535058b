"""Attacks on the model that ``evaluate`` and ``redteam`` measure."""
