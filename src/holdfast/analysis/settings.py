"""What an analysis of a model does; the field docstrings are the command line's help too.

Nothing heavy is imported here: ``holdfast --help`` reads this class.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from holdfast.errors import ConfigError

__all__ = ["AnalysisOptions", "Method", "Score"]

Method = Literal["gradient", "noise", "delta"]
Score = Literal["drift", "logit", "accuracy"]


@dataclass(kw_only=True)
class AnalysisOptions:
    """What the analysis does; the paper leaves all of it open, so all of it is ours."""

    method: Method = "gradient"
    """gradient: one backward pass; noise: module by module; delta: the changes of a tuned model."""
    score: Score = "drift"
    """What the search and exact methods call damage; the gradient's estimates are of the logit."""
    rho: float | None = None
    """Norm of the noise relative to a module's weight; calibrated where it is not given."""
    tau: float = 0.1
    """Robust modules may do this share of the damage of all modules together, in [0, 1]."""
    seeds: int = 3
    """Draws of the noise that figures are averaged over."""
    seed: int = 0
    """Seed of the noise and of the probe's split."""
    held_out: float = 0.25
    """Share of the prompts that tests the probe, in (0, 1)."""
    batch_size: int = 64
    """Prompts at a time."""

    def validate(self) -> None:
        """Raise ``ConfigError`` where a value is out of range."""
        for name, allowed in (("method", get_args(Method)), ("score", get_args(Score))):
            given = getattr(self, name)
            if given not in allowed:
                raise ConfigError(f"{name}={given!r} must be one of {', '.join(allowed)}")
        if self.rho is not None and not 0 < self.rho < float("inf"):
            raise ConfigError(f"rho={self.rho!r} must be a positive number, or left out")
        if not 0 <= self.tau <= 1:
            raise ConfigError(f"tau={self.tau!r} must lie in [0, 1]")
        if self.seeds < 1 or self.batch_size < 1:
            raise ConfigError("seeds and batch_size must be 1 or more")
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out={self.held_out!r} must lie between 0 and 1")
