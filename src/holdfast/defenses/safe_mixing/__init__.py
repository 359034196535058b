"""Safe-data mixing: the baseline to beat."""

from holdfast.defenses.safe_mixing.safe_mixing import SafeMixing, rows_to_add

__all__ = ["SafeMixing", "rows_to_add"]
