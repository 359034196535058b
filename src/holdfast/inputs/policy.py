"""The limits that a command was given, by its options or in a file."""

from pathlib import Path
from typing import Any, NamedTuple

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.limits import Requirement, parse_requirements
from holdfast.evaluation.redteam import attacks_named
from holdfast.inputs.options.attack_options import MOST_DRAWS
from holdfast.inputs.options.gate_options import GateOptions, Undecided
from holdfast.inputs.yaml_files import mapping_in, text_of

__all__ = ["Policy", "policy_of"]

_CONFIDENCE = 0.95
_KEYS = ("require", "confidence", "undecided", "attacks", "draws")
"""Keys of a file of limits; the first three are options too."""
_OF_DRAWS = "best_of_n"


class Policy(NamedTuple):
    """Limits, and how they are held."""

    requirements: tuple[Requirement, ...]
    confidence: float
    undecided: Undecided
    path: Path | None
    attacks: tuple[str, ...] = ()
    """Attacks under which the limit on harm is held, whatever else was made."""
    draws: int = 0
    """Fewest noisy copies of a question that the attack best_of_n must have had; 0: any number."""


def policy_of(options: GateOptions) -> Policy | None:
    """Return the limits that were given, None where none were.

    Raises:
        ConfigError: A limit or an option is none, the file cannot be used, or both were given.
    """
    if options.policy is not None:
        return _from_file(options, options.policy)
    if not options.require:
        for name in ("confidence", "undecided", "before"):
            if (given := getattr(options, name)) is not None:
                raise ConfigError(
                    f"`{name}={given}` is for limits, and there are none: add `require=hs<=.05`"
                )
        return None
    confidence = _CONFIDENCE if options.confidence is None else options.confidence
    _check_confidence(confidence, f"`confidence={confidence}`")
    return Policy(
        parse_requirements(options.require), confidence, options.undecided or "fail", None
    )


def _from_file(options: GateOptions, path: Path) -> Policy:
    for name in _KEYS[:3]:
        if given := getattr(options, name):
            raise ConfigError(
                f"`{name}={given}` stands beside `policy={path}`: write it into the file, so that "
                "all releases are held to the same"
            )
    where = f"`policy={path}`"
    found = mapping_in(text_of(path, where), where)
    for key in found:
        if key not in _KEYS:
            hint = nearest(key, _KEYS)
            raise ConfigError(f"{where}: unknown key {key!r}; expected {', '.join(_KEYS)}.{hint}")
    limits, attacks = _limits(found.get("require"), where), _attacks(found, where)
    if attacks and not any(one.metric == "hs" for one in limits):
        raise ConfigError(
            f"{where}: attacks are what the limit on hs is held under, and there is none: add "
            "hs<=.05, or leave attacks out"
        )
    held = _confidence(found, where), _undecided(found, where)
    return Policy(limits, *held, path, attacks, _draws(found, attacks, where))


def _limits(given: Any, where: str) -> tuple[Requirement, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise ConfigError(f'{where}: expected limits, such as require: ["hs<=.05"]')
    try:
        return parse_requirements(texts)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _confidence(found: dict[str, Any], where: str) -> float:
    given = found.get("confidence", _CONFIDENCE)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ConfigError(f"{where}: confidence is {given!r}; expected a number such as .95")
    _check_confidence(float(given), f"{where}: confidence {given}")
    return float(given)


def _undecided(found: dict[str, Any], where: str) -> Undecided:
    given = found.get("undecided", "fail")
    if given not in ("fail", "pass"):
        raise ConfigError(f"{where}: undecided is {given!r}; expected fail or pass")
    return given


def _attacks(found: dict[str, Any], where: str) -> tuple[str, ...]:
    given = found.get("attacks", [])
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{where}: attacks is {given!r}; expected gate, or a list of names")
    if not names:
        return ()
    try:
        attacks = attacks_named(",".join(names))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    for each in attacks:
        if each.adaptive:
            raise ConfigError(
                f"{where}: the attack {each.name} adapts to the model, and no bound holds for "
                "prompts that do: leave it out, and make it with `attacks=nightly` beside the file"
            )
    return tuple(each.name for each in attacks)


def _draws(found: dict[str, Any], attacks: tuple[str, ...], where: str) -> int:
    if "draws" not in found:
        return 0
    given = found["draws"]
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_DRAWS:
        raise ConfigError(
            f"{where}: draws is {given!r}; expected a whole number from 1 to {MOST_DRAWS}"
        )
    if _OF_DRAWS not in attacks:
        raise ConfigError(
            f"{where}: draws are of the attack {_OF_DRAWS}, which attacks does not name: add it, "
            "or leave draws out"
        )
    return given


def _check_confidence(value: float, where: str) -> None:
    if not 0.5 <= value < 1:
        raise ConfigError(f"{where} is no confidence; expected .5 or more and below 1, as .95")
