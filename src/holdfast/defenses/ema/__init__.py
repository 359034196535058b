"""Weight averaging: what is served is a running mean of the weights that were trained."""

from holdfast.defenses.ema.ema import EMA, averaged, shrunk

__all__ = ["EMA", "averaged", "shrunk"]
