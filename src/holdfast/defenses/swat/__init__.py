"""SWAT: robust modules learn first, then everything does."""

from holdfast.defenses.swat.swat import SWAT, multiplier

__all__ = ["SWAT", "multiplier"]
