"""Watching a run's drift, stopping it, and moving a defense's strength while it is on."""

from holdfast.training.steering.watch import DriftWatch

__all__ = ["DriftWatch"]
