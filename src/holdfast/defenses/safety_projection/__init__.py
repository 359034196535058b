"""Safety projection (SPAG): the loss on refusals is a constraint, corrected after each update."""

from holdfast.defenses.safety_projection.safety_projection import (
    SafetyProjection,
    correction_factor,
)

__all__ = ["SafetyProjection", "correction_factor"]
