"""The proxy-guided search for Mods_Rob (SWAT, arXiv 2410.04524 v2).

The paper says that a heuristic built on its patterns returns the robust subset; steps, threshold
and stopping rule are ours:

1. Order the types by their mean damage, the most robust first.
2. Within a type go from the deepest layer to the shallowest; add the module to S and perturb S
   jointly, because modules that are robust alone can be sensitive together.
3. Keep the module while the joint damage stays at or below τ times the damage of perturbing every
   module together; else roll it back and go on to the next type.
4. Stop when every type is exhausted.
"""

from collections.abc import Callable, Collection, Mapping
from statistics import fmean

from holdfast.analysis.modules.robust_modules import ModuleAt, Trial
from holdfast.ops.modules import ModuleRef

__all__ = ["Joint", "at", "by_type", "search"]

Joint = Callable[[Collection[ModuleRef]], float]
"""Modules → damage of perturbing them together."""


def by_type(scores: Mapping[ModuleRef, float]) -> list[list[ModuleRef]]:
    """Return the modules of each type, deepest first; the type of least mean damage first."""
    types: dict[str, list[ModuleRef]] = {}
    for ref in sorted(scores, reverse=True):
        types.setdefault(ref.role, []).append(ref)
    means = {role: fmean(scores[r] for r in refs) for role, refs in types.items()}
    return [types[role] for role in sorted(types, key=lambda role: (means[role], role))]


def search(
    scores: Mapping[ModuleRef, float], joint: Joint, limit: float
) -> tuple[list[ModuleRef], list[Trial]]:
    """Return Mods_Rob and every trial on the way to it.

    Deterministic: ties of types are broken by name.

    Args:
        scores: Each module's damage alone, which orders the types.
        joint: Damage of modules together; called once for each trial.
        limit: The joint damage that S may do.
    """
    chosen: list[ModuleRef] = []
    trace: list[Trial] = []
    for refs in by_type(scores):
        for ref in refs:
            score = joint([*chosen, ref])
            kept = score <= limit
            trace.append(Trial(module=at(ref), score=score, kept=kept))
            if not kept:
                break
            chosen.append(ref)
    return sorted(chosen), trace


def at(ref: ModuleRef) -> ModuleAt:
    """Return where a module sits, without its name."""
    return ModuleAt(layer=ref.layer, role=ref.role)
