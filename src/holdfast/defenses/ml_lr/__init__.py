"""ML-LR: robust modules learn at the full rate, the rest at a small one."""

from holdfast.defenses.ml_lr.ml_lr import MLLR, multiplier

__all__ = ["MLLR", "multiplier"]
