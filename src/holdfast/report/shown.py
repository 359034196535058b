"""What every section of a page is given."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.comparisons.scenes import Scene, scenes
from holdfast.comparisons.worst_case import summarize
from holdfast.report.figures.looks import Look, looks
from holdfast.results.comparisons import BenchSummary
from holdfast.results.result import RunResult
from holdfast.results.words import with_adapter

__all__ = ["Shown"]


@dataclass(frozen=True)
class Shown:
    """A result on its page."""

    result: RunResult
    scenes: list[Scene]
    """The arms side by side, under one attack each."""
    bench: BenchSummary
    looks: Mapping[str, Look]
    """How each arm looks, by name."""
    redacted: bool
    """Whether harmful prompts and answers are."""

    @classmethod
    def of(cls, result: RunResult, *, show_harmful: bool) -> "Shown":
        """Return what a page shows of a result."""
        return cls(
            result=result,
            scenes=scenes(result),
            bench=result.bench or summarize(result.arms),
            looks=looks(result.arms),
            redacted=result.real_model and not show_harmful,
        )

    @property
    def subject(self) -> str:
        """The model, with the adapter that was given to the command."""
        return with_adapter(self.result.model, self.result.config.get("adapter"))

    @property
    def several(self) -> bool:
        """Whether a scenario was attacked in several ways: worst cases first, attacks folded."""
        return any(scene.attack is not None for scene in self.scenes)

    @property
    def many(self) -> bool:
        """Whether scenes need their titles."""
        return len(self.scenes) > 1
