"""RESTA: what makes the aligned model harmful is subtracted from the tuned one."""

from holdfast.defenses.resta.apply import apply_resta
from holdfast.defenses.resta.resta import RESTA, drop_and_rescale, realigned

__all__ = ["RESTA", "apply_resta", "drop_and_rescale", "realigned"]
