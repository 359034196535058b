"""Where safety sits in a model."""

from holdfast.analysis.safety_coefficient import layer_coefficients

__all__ = ["layer_coefficients"]
