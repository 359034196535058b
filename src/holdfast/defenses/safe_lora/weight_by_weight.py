"""SafeLoRA on whole weights one at a time, for a model that no memory holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense import Row
from holdfast.defenses.safe_lora.tuned_weights import Change, refuse_experts
from holdfast.errors import ConfigError
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.modules import ModuleRef, projections
from holdfast.ops.roles.parts import oriented


@dataclass
class WeightByWeight:
    """Judges the change of a weight when it is its turn."""

    order: Sequence[ModuleRef]
    """The projections as a model in memory has them: files may hold them otherwise."""
    aligned: SavedWeights
    judge: Callable[[Change], tuple[Tensor | None, Row]]
    finish: Callable[[Sequence[Row]], Artifact]
    told: Callable[..., list[str]]
    """(rows, sizes, learned, left) → what is said of the repair."""
    left: int
    """Tensors of other modules."""
    rows: dict[ModuleRef, Row] = field(default_factory=dict[ModuleRef, Row])
    sizes: list[tuple[float, float, float]] = field(
        default_factory=list[tuple[float, float, float]]
    )

    @classmethod
    def of(
        cls, model: nn.Module, aligned: str | None, unaligned: SavedWeights, judge: Any,
        rest: tuple[Any, Any],
    ) -> "WeightByWeight":  # fmt: skip
        """Return it with both folders looked at.

        Raises:
            ConfigError: The aligned model is not given, or is the unaligned one.
            ModelError: A folder's model has other projections.
        """
        if aligned is None:
            raise ConfigError(
                "safe_lora: fully tuned weights need aligned= (the folder of the model before "
                "fine-tuning)"
            )
        refuse_experts(model)
        saved, live = open_weights(aligned, "safe_lora: aligned", model), projections(model)
        for ref, linear in live.items():
            for folder in (saved, unaligned):
                folder.check(f"{ref.name}.weight", linear.weight.shape)
        if not any(_differs(ref, linear, saved, unaligned) for ref, linear in live.items()):
            raise ConfigError(
                "safe_lora: base= holds the aligned weights themselves, so there is no alignment "
                "to project into; give the model from before safety training"
            )
        names = {f"{ref.name}.weight": ref for ref in live}
        every = [name for name, _ in model.named_parameters()]
        order = [names[name] for name in every if name in names]
        return cls(order, saved, judge, *rest, len(every) - len(order))

    def edit(self, ref: ModuleRef, linear: Any) -> Tensor | None:
        """Return the edit of one weight, or None where it stays."""
        now = oriented(linear, linear.weight.detach()).float()
        before = oriented(linear, self.aligned.read(f"{ref.name}.weight", linear.weight))
        change = Change(f"{ref.name}.weight", ref, now - before, None, before, linear)
        edit, self.rows[ref] = self.judge(change)
        self.sizes.append(sizes_of(change, self.rows[ref]))
        return edit

    def artifact(self) -> Artifact:
        """Return the report of all projections."""
        return self.finish(self._ordered())

    def notes(self) -> list[str]:
        """Return what is said of the repair."""
        learned = any(tuned > 0 for tuned, _, _ in self.sizes)
        return self.told(self._ordered(), self.sizes, learned=learned, left=self.left)

    def _ordered(self) -> list[Row]:
        return [self.rows[ref] for ref in self.order if ref in self.rows]


def sizes_of(change: Change, row: Row) -> tuple[float, float, float]:
    """Return the norms of a weight's change in tuning, of that in alignment, and of itself."""
    tuned = 0.0 if change.right is not None else float(change.factor.norm())
    return tuned, float(row["alignment_norm"]), float(change.aligned.norm())


def _differs(ref: ModuleRef, linear: Any, one: SavedWeights, other: SavedWeights) -> bool:
    like, name = torch.empty(linear.weight.shape), f"{ref.name}.weight"
    return not torch.equal(one.read(name, like), other.read(name, like))
