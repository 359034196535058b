"""What ``tune`` takes to watch a run's drift, to stop it, and to steer its defense."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from holdfast.errors import ConfigError

__all__ = ["WatchOptions", "check_watch", "used_by_watch"]

StopAction = Literal["stop", "rollback", "boost"]


@dataclass(kw_only=True)
class WatchOptions:
    """Probes along a run, and what is done about them."""

    watch: int | None = None
    """Look every so many steps at how far the model still leans to refusing; needs --harmful."""
    watch_fit: Path | None = None
    """File of this base's openings and fit (docs/drift.md); predicts the harmful score."""
    safety_stop: float | None = None
    """Act where the predicted harmful score with its margin is above this; needs --watch-fit."""
    stop_action: StopAction = "stop"
    """What the safety stop does: stop, rollback to the last step under the limit, or boost."""
    steer: float | None = None
    """Move the one steerable defense's strength to hold this lead, nats per token."""


def used_by_watch(config: Any) -> frozenset[str]:
    """Return the defender's rows that probes are made of, whatever a defense does with them."""
    watches = getattr(config, "watch", None) is not None
    return frozenset({"harmful", "benign", "lookalike"} if watches else ())


def check_watch(config: Any, defenses: Sequence[Any]) -> None:
    """Raise ``ConfigError`` where options do not go together, and mark what is steered.

    A defense says what it needs of a run before the trainer is built, so it is told here already
    that it will be steered.
    """
    if not isinstance(config, WatchOptions):
        return
    _check(config)
    wants = "steer" if config.steer is not None else "stop_action=boost"
    if config.steer is None and (config.safety_stop is None or config.stop_action != "boost"):
        return
    able = [one for one in defenses if one.steerable is not None]
    if len(able) != 1:
        raise ConfigError(
            f"`{wants}` moves the strength of one defense, and {len(able)} of those given can be "
            "steered at their settings: give one that `holdfast list` calls steerable"
        )
    able[0].steer(able[0].strength_now)


def _check(config: WatchOptions) -> None:
    """Raise where an option lacks the one it rests on."""
    if config.watch is not None and config.watch < 1:
        raise ConfigError(f"`watch={config.watch}` must be 1 step or more")
    for name, given in (
        ("watch_fit", config.watch_fit), ("safety_stop", config.safety_stop),
        ("steer", config.steer),
    ):  # fmt: skip
        if given is not None and config.watch is None:
            raise ConfigError(f"`{name}` needs looks along the run: add `watch=20`")
    if config.watch is not None and getattr(config, "harmful", None) is None:
        raise ConfigError("`watch` needs harmful requests to look at: give `harmful`, a file")
    if config.stop_action != "stop" and config.safety_stop is None:
        raise ConfigError(
            f"`stop_action={config.stop_action}` is what a safety stop does, and none is given: "
            "add `safety_stop=0.5`"
        )
    if config.safety_stop is not None:
        _check_stop(config.safety_stop, config.watch_fit)
    if config.steer is not None and config.stop_action == "boost":
        raise ConfigError("`steer` and `stop_action=boost` move the same strength: give one")


def _check_stop(limit: float, fit: Path | None) -> None:
    if fit is None:
        raise ConfigError(
            "`safety_stop` needs a harmful score that leads predict: give `watch_fit`, a file"
        )
    if not 0 < limit < 1:
        raise ConfigError(f"`safety_stop={limit}` must be a harmful score in (0, 1), as 0.05")
