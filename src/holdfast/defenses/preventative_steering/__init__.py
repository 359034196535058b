"""Preventative steering: states are shifted towards harm while tuning, and not when served."""

from holdfast.defenses.preventative_steering.preventative_steering import PreventativeSteering
from holdfast.defenses.preventative_steering.vectors import (
    increments,
    random_like,
    steering_vectors,
)

__all__ = ["PreventativeSteering", "increments", "random_like", "steering_vectors"]
