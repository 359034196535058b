"""A picture of each scene's arms: safety against utility, and the losses."""

from typing import Any

from holdfast.report.environment import picture
from holdfast.report.figures.arms import losses, safety_utility
from holdfast.report.shown import Shown

__all__ = ["section"]


def section(shown: Shown) -> dict[str, Any] | None:
    """Return (scene, picture) by kind; None of several attacks, which curves and fronts show."""
    found: dict[str, Any] = {"utility": [], "losses": []}
    for number, scene in enumerate([] if shown.several else shown.scenes):
        for kind, draw in (("utility", safety_utility), ("losses", losses)):
            drawn = draw(scene.arms, shown.looks, f"{kind}{number or ''}", scene.title)
            if drawn is not None:
                found[kind].append((scene, picture(drawn)))
    return found if any(found.values()) else None
