"""Suites for defenses, judges, formats, shapes and checks of other packages; no checkout needed."""

from holdfast.testing.defenses import check_defense
from holdfast.testing.formats import check_format
from holdfast.testing.hygiene import check_check
from holdfast.testing.judges import check_judge
from holdfast.testing.shapes import check_shape

__all__ = ["check_check", "check_defense", "check_format", "check_judge", "check_shape"]
