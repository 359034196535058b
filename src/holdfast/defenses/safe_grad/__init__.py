"""SafeGrad: what of the user's gradient points against safety is taken out of it."""

from holdfast.defenses.safe_grad.safe_grad import SafeGrad, Surgery, operated

__all__ = ["SafeGrad", "Surgery", "operated"]
