"""Where safety sits in a model."""

from holdfast.analysis.safety_coefficient import Profile, layer_coefficients, profile

__all__ = ["Profile", "layer_coefficients", "profile"]
