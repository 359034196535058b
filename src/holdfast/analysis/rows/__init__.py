"""What a row does to safety before it is trained on: scores, and what they are worth here."""

from holdfast.analysis.rows.calibration import Calibration
from holdfast.analysis.rows.columns import Column, RowScores, SetScore
from holdfast.analysis.rows.materials import Materials
from holdfast.analysis.rows.ready import ready
from holdfast.analysis.rows.score import Scorer

__all__ = ["Calibration", "Column", "Materials", "RowScores", "Scorer", "SetScore", "ready"]
