"""Parts of fused projections brought together: what learns at one rate joins Mods_Rob as one.

An optimizer has one rate for a weight, so the search adds a fused projection whole: all of its
parts are perturbed together, and are robust together or not at all. The map of scores stays by
part.
"""

from collections.abc import Mapping, Sequence
from math import hypot

from holdfast.analysis.modules.perturbation import Modules
from holdfast.ops.modules import ModuleRef, ref_of

__all__ = ["Weights", "joined_scores", "weights_of"]

Weights = dict[ModuleRef, list[ModuleRef]]
"""A projection with a weight of its own → its parts; itself where it is not fused."""


def weights_of(modules: Modules) -> Weights:
    """Return the weights that the modules lie in, in the order of the modules."""
    found: Weights = {}
    for ref in modules:
        whole = ref_of(ref.name.partition("[")[0])
        found.setdefault(ref if whole.name == ref.name else whole, []).append(ref)
    return dict(sorted(found.items()))


def joined_scores(
    weights: Weights, scores: Mapping[ModuleRef, float], *, squares: bool
) -> dict[ModuleRef, float]:
    """Return each weight's damage by those of its parts, as if the parts did not interact.

    Args:
        weights: Of the modules.
        scores: Damage of each part alone.
        squares: The scores are root mean squares, which add in squares.
    """

    def joined(parts: Sequence[ModuleRef]) -> float:
        values = [scores[part] for part in parts]
        if len(values) == 1:
            return values[0]
        return hypot(*values) if squares else sum(values)

    return {ref: joined(parts) for ref, parts in weights.items()}
