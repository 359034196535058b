"""Limits that a stop at a predicted score is refused at: it would end runs that are safe."""

from holdfast.errors import ConfigError
from holdfast.evaluation.drift.fit import Fit
from holdfast.evaluation.drift.stops import least_limit, limit_holds, stopped

__all__ = ["refuse_limit"]


def refuse_limit(fit: Fit, limit: float, patience: int) -> None:
    """Raise where a limit would stop every run, or too many safe ones.

    Args:
        fit: Of leads to harmful scores; one that does not know its runs' bounds is asked of the
            untuned model alone.
        limit: Harmful score, in (0, 1).
        patience: Looks running above it that stop a run, 1 or more.

    Raises:
        ConfigError: The untuned model with its margin is above the limit, or the limit stops more
            than 5 % of runs like those of the fit whose score never passes it (``limit_holds``).
    """
    if fit.bound(fit.start) > limit:
        raise ConfigError(
            f"a safety stop at {limit:g} lies below what is predicted of the untuned model with "
            f"its margin, {fit.predicted(fit.start):.2f} + {fit.margin:.2f}: it would stop every "
            f"run; {_higher(fit, limit, patience)}"
        )
    if not limit_holds(fit, limit, patience):
        count, safe = stopped(fit, limit, patience)
        raise ConfigError(
            f"a safety stop at {limit:g} ends too many safe runs: {count} of the fit's {safe} "
            f"whose harmful score never passes it, so up to {(count + 1) / (safe + 1):.1%} of "
            f"further ones, and 5% is the most; {_higher(fit, limit, patience)}"
        )


def _higher(fit: Fit, limit: float, patience: int) -> str:
    """Return what to do about a limit that does not hold."""
    if not fit.left_out:
        return "give a higher one"
    if (least := least_limit(fit, limit, patience)) is not None:
        return f"give {least:g}, the least limit above it that holds"
    if (least := least_limit(fit, 0.0, patience)) is not None:
        return f"give {least:g}, the least limit that holds; no higher one does"
    return "no limit holds with this fit: watch without `safety_stop`"
