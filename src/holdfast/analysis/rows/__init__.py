"""What a row does to safety before it is trained on: scores, and what they are worth here."""

from holdfast.analysis.rows.columns import Column, RowScores, SetScore

__all__ = ["Column", "RowScores", "SetScore"]
