"""Attacks on the model: the headline, each attack with its interval, and kinds of harm."""

from holdfast.report.sections.red_team.view import section

__all__ = ["section"]
