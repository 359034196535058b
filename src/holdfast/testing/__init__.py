"""Suites for defenses, judges, data formats and shapes of other packages; no checkout is needed."""

from holdfast.testing.defenses import check_defense
from holdfast.testing.formats import check_format
from holdfast.testing.judges import check_judge
from holdfast.testing.shapes import check_shape

__all__ = ["check_defense", "check_format", "check_judge", "check_shape"]
