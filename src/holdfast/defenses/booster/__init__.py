"""Booster: an aligned model from which one harmful step gains little."""

from holdfast.defenses.booster.booster import Booster, attenuate

__all__ = ["Booster", "attenuate"]
