"""RESTA: what makes the aligned model harmful is subtracted from the tuned one."""

from holdfast.defenses.resta.resta import RESTA, drop_and_rescale, realigned

__all__ = ["RESTA", "drop_and_rescale", "realigned"]
