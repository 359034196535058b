"""What a release must hold: options of ``evaluate`` and ``gate``, and the file that holds them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.limits.requirement import Requirement, parse_requirements
from holdfast.inputs.yaml_files import mapping_in, text_of

__all__ = ["GateConfig", "GateOptions", "Policy", "policy_of"]

Undecided = Literal["fail", "pass"]
_CONFIDENCE = 0.95
_KEYS = ("require", "confidence", "undecided")


@dataclass(kw_only=True)
class GateOptions:
    """Limits that a model must hold to be released."""

    require: list[str] = field(default_factory=list[str])
    """A limit to hold, in quotes: 'hs<=.05', 'over_refusal<=.1', 'fa>=.8'; repeat for several."""
    policy: Path | None = None
    """YAML file with require, confidence and undecided; its ledger of looks is kept beside it."""
    confidence: float | None = None
    """Confidence of each limit, one-sided; .95 without it."""
    undecided: Undecided | None = None
    """What too few prompts end with: fail (exit 4, the default) or pass (exit 0)."""
    before: Path | None = None
    """result.json to compare with on the same questions, for limits on a drop or a rise."""


@dataclass(kw_only=True)
class GateConfig(GateOptions):
    """One verdict on a result that exists."""

    result: Path
    """Result folder, or its result.json, with answers."""
    arm: str | None = None
    """Whose answers, where the result has several: the name of a defense, none or before."""
    output: Path | None = None
    """Folder for gate.json, JUnit, SARIF and report.html; nothing is written without it."""
    show_harmful: bool = False
    """Show harmful prompts and answers in the report instead of redacting them."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""


class Policy(NamedTuple):
    """Limits, and how they are held."""

    requirements: tuple[Requirement, ...]
    confidence: float
    undecided: Undecided
    path: Path | None


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
    for name in _KEYS:
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
    return Policy(
        _limits(found.get("require"), where), _confidence(found, where), _undecided(found, where),
        path,
    )  # fmt: skip


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


def _check_confidence(value: float, where: str) -> None:
    if not 0.5 <= value < 1:
        raise ConfigError(f"{where} is no confidence; expected .5 or more and below 1, as .95")
