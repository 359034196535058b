"""Which modules are treated as robust: Mods_Rob itself, or a control that it has to beat.

What a control holds fixed is what it rules out. ``random`` holds the number of modules and nothing
else: where Mods_Rob has attention alone, its draws hold MLPs too, so more parameters of other
kinds. ``random_matched`` holds the number of parameters that learn, ``roles`` the roles with it,
and ``attention`` asks whether the search was needed at all.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from holdfast.errors import ConfigError
from holdfast.ops.modules import ATTENTION_ROLES

__all__ = ["SUBSETS", "TOLERANCE", "At", "Subset", "chosen_modules"]

At = tuple[int, str]
"""A projection: its decoder layer and role."""
Sizes = Mapping[At, int]
"""Every projection that a run trains, with how many of its parameters learn."""
Subset = Literal["robust", "random", "random_matched", "roles", "attention", "complement"]
SUBSETS: tuple[Subset, ...] = (
    "robust", "random", "random_matched", "roles", "attention", "complement",
)  # fmt: skip

TOLERANCE = 0.02
"""Parameters of ``random_matched`` over those of Mods_Rob, less 1, at most; ours."""
ORDERS = 1000
"""Orders that are tried for a draw; ours."""


def chosen_modules(robust: Collection[At], trained: Sizes, subset: str, seed: int) -> list[At]:
    r"""Return the modules that are treated as robust, in order.

    Let R be the modules of Mods_Rob that are trained. Draws come from
    ``numpy.random.default_rng(seed)``, one permutation after another of the trained modules in
    order of (layer, role), and but for ``random`` a draw that is R itself is drawn again.

    - ``robust``: R.
    - ``complement``: the trained modules outside R.
    - ``random``: the first ``len(R)`` of a permutation.
    - ``random_matched``: along a permutation, each module that still fits into R's number of
      parameters. Of up to 1000 permutations the first that reaches the number exactly, else the
      nearest; roles fall as they may. It is off by at most 2 %.
    - ``roles``: of each role as many modules as R has, the layers at random: the first along a
      permutation. Parameters are equal wherever a role's modules are of one size.
    - ``attention``: every trained module of attention (q, k, v, o).

    Args:
        robust: Mods_Rob.
        trained: Every projection that this run trains, on whole weights or on an adapter, with its
            number of trained parameters.
        subset: One of ``SUBSETS``.
        seed: Seed of the draw.

    Raises:
        ConfigError: The control can only be Mods_Rob itself, or ``random_matched`` comes no nearer
            than 2 %.
    """
    every = sorted(trained)
    kept = [at for at in every if at in robust]
    rng = np.random.default_rng(seed)
    match subset:
        case "random":
            return _permuted(every, rng, len(kept))
        case "complement":
            return [at for at in every if at not in robust]
        case "attention":
            return _differing([at for at in every if at[1] in ATTENTION_ROLES], kept, subset)
        case "roles":
            return _other_than(kept, lambda: _of_roles(_order(every, rng), kept), subset)
        case "random_matched":
            return _matched(every, kept, trained, rng)
        case _:
            return kept


def _order(every: Sequence[At], rng: np.random.Generator) -> list[At]:
    return [every[i] for i in rng.permutation(len(every))]


def _permuted(every: Sequence[At], rng: np.random.Generator, count: int) -> list[At]:
    return sorted(_order(every, rng)[:count])


def _of_roles(order: Sequence[At], kept: Sequence[At]) -> list[At]:
    """Return the first modules along ``order``, of each role as many as ``kept`` has."""
    left = Counter(role for _, role in kept)
    drawn: list[At] = []
    for at in order:
        if left[at[1]] > 0:
            left[at[1]] -= 1
            drawn.append(at)
    return sorted(drawn)


def _filled(order: Sequence[At], sizes: Sizes, budget: int) -> list[At]:
    """Return, along ``order``, each module that still fits into ``budget`` parameters."""
    drawn: list[At] = []
    for at in order:
        if sizes[at] <= budget:
            budget -= sizes[at]
            drawn.append(at)
    return sorted(drawn)


def _matched(
    every: Sequence[At], kept: Sequence[At], sizes: Sizes, rng: np.random.Generator
) -> list[At]:
    wanted = sum(sizes[at] for at in kept)

    def short(drawn: Sequence[At]) -> int:
        return wanted - sum(sizes[at] for at in drawn)

    nearest: list[At] = []
    for _ in range(ORDERS):
        drawn = _filled(_order(every, rng), sizes, wanted)
        if drawn != kept and short(drawn) < short(nearest):
            nearest = drawn
        if nearest and short(nearest) == 0:
            break
    if not nearest or short(nearest) > TOLERANCE * wanted:
        found = wanted - short(nearest)
        raise ConfigError(
            f"subset=random_matched finds no other modules with as many parameters as the {wanted} "
            f"of the robust ones (nearest: {found}); use subset=roles or subset=random"
        )
    return nearest


def _other_than(kept: Sequence[At], draw: Callable[[], list[At]], subset: str) -> list[At]:
    drawn = draw()
    for _ in range(ORDERS):
        if drawn != kept:
            break
        drawn = draw()
    return _differing(drawn, kept, subset)


def _differing(drawn: list[At], kept: Sequence[At], subset: str) -> list[At]:
    """Return the draw, or raise where it is Mods_Rob: such a control tells nothing."""
    if drawn and drawn == kept:
        raise ConfigError(
            f"subset={subset} can only be the {len(kept)} robust modules themselves, so it is no "
            "control for them; use subset=random_matched or subset=complement"
        )
    return drawn
