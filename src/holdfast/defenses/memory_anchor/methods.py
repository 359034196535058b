"""The eight published methods: what each compares, where, and how much its paper lets it weigh."""

from typing import Any, Literal, NamedTuple, get_args

from holdfast.defense import Defense, in_range
from holdfast.errors import ConfigError
from holdfast.ops.anchors.distances import DISTANCES, Distance

__all__ = ["EVERY", "METHODS", "Anchor", "Method", "Settings", "Where", "check_settings", "settled"]

Method = Literal["replay", "der", "der++", "lwf", "kl", "ldifs", "ewc", "l2-sp"]
Where = Literal["memory", "user"]
Compared = Literal["", "logits", "states", "weights"]


EVERY = 5
"""Layers from one that ldifs reads to the next (arXiv 2508.06249)."""


class Anchor(NamedTuple):
    """One published method."""

    compared: Compared
    """What is held near the start; ``""`` is nothing."""
    weights: dict[str, float]
    """The fields that weigh its terms → their defaults."""
    where: Where | None = None
    """On whose rows logits or states are compared."""
    distance: Distance | None = None
    temperature: float = 1.0
    """Of a KL divergence."""


METHODS: dict[Method, Anchor] = {
    "replay": Anchor("", {"beta": 1.0}),
    "der": Anchor("logits", {"alpha": 1.0}, "memory", "l2"),
    "der++": Anchor("logits", {"alpha": 1.0, "beta": 1.0}, "memory", "l2"),
    "lwf": Anchor("logits", {"lam": 1.0}, "user", "kl", 2.0),
    "kl": Anchor("logits", {"lam": 0.1}, "user", "reverse_kl"),
    "ldifs": Anchor("states", {"lam": 1.0}, "user"),
    "ewc": Anchor("weights", {"lam": 1.0}),
    "l2-sp": Anchor("weights", {"lam": 1.0}),
}


class Settings(NamedTuple):
    """A method with the user's fields in place of its own where they are given."""

    compared: Compared
    where: Where | None
    distance: Distance
    temperature: float
    anchor: float
    """What the comparison with the start weighs: alpha or lam."""
    cross_entropy: float
    """What the loss on the memory weighs: beta."""

    @property
    def passes_memory(self) -> bool:
        """Whether a pass over the memory goes with each update."""
        return self.where == "memory" or self.cross_entropy > 0


def settled(defense: Any) -> Settings:
    """Return what the defense's fields come to."""
    own = METHODS[defense.method]
    weigh = {n: own.weights.get(n, 0.0) for n in ("alpha", "beta", "lam")}
    weigh |= {n: given for n in weigh if (given := getattr(defense, n)) is not None}
    heat = own.temperature if defense.temperature is None else defense.temperature
    distance = defense.distance or own.distance or "l2"
    anchor = weigh["alpha"] + weigh["lam"]  # No method has both.
    compared, where = (own.compared, defense.where or own.where) if anchor > 0 else ("", None)
    return Settings(compared, where, distance, heat, anchor, weigh["beta"])


def check_settings(defense: Any) -> None:
    """Raise where a field says what the method does not have.

    Raises:
        ConfigError: Names the field, the method and what to give instead.
    """
    _one_of(defense, "method", tuple(METHODS))
    method, own = defense.method, METHODS[defense.method]
    for name in ("alpha", "beta", "lam"):
        if getattr(defense, name) is None:
            continue
        in_range(defense, name, 0.0)
        if name not in own.weights:
            has = " and ".join(f"`{n}`" for n in own.weights)
            _refuse(defense, name, f"is no weight of `method={method!r}`, which has {has}")
    for name, values in (("distance", DISTANCES), ("where", get_args(Where))):
        if getattr(defense, name) is None:
            continue
        _one_of(defense, name, values)
        if own.compared != "logits":
            _refuse(defense, name, f"is for methods that compare logits, not `method={method!r}`")
    _check_temperature(defense, own)
    _check_unused(defense)
    if not any(settled(defense)[-2:]):
        _refuse(defense, next(iter(own.weights)), "leaves nothing to add; for that: `strength=0`")


def _check_temperature(defense: Any, own: Anchor) -> None:
    if defense.temperature is None:
        return
    in_range(defense, "temperature", 1e-3, 1e3)
    if own.compared != "logits" or (defense.distance or own.distance) == "l2":
        _refuse(defense, "temperature", "is of a KL divergence; give `distance='kl'` as well")


def _check_unused(defense: Any) -> None:
    """Refuse fields that would be read by nobody: a run that ignores them tells nothing of them."""
    of, method = settled(defense), defense.method
    on_memory = of.where == "memory"
    remembers = of.passes_memory or method == "ewc"
    for name, given, used, of_what in (
        ("distance", defense.distance is not None, bool(of.compared), "logits that are compared"),
        ("where", defense.where is not None, bool(of.compared), "logits that are compared"),
        ("temperature", defense.temperature is not None, bool(of.compared), "a KL divergence"),
        ("top_k", defense.top_k > 0, on_memory, "logits of the memory that are compared"),
        ("every", defense.every != EVERY, of.compared == "states", "`method='ldifs'`"),
        ("rows", defense.rows is not None, remembers, "a memory"),
        ("harmless", defense.harmless > 0, remembers, "a memory"),
    ):
        if given and not used:
            why = f"is of {of_what}, and `method={method!r}` has none of it at these settings"
            _refuse(defense, name, f"{why}; leave it out")


def _one_of(defense: Defense, name: str, values: tuple[str, ...]) -> None:
    if getattr(defense, name) not in values:
        _refuse(defense, name, f"must be one of {', '.join(map(repr, values))}")


def _refuse(defense: Defense, name: str, why: str) -> None:
    raise ConfigError(f"{defense.card.name}: `{name}={getattr(defense, name)!r}` {why}")
