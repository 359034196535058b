r"""SafeLoRA (Hsu et al., arXiv 2405.16833, NeurIPS 2024): no data and no training.

The alignment's own change :math:`V = W_{aligned} - W_{base}` of a projection spans what safety
training touched. What fine-tuning changed elsewhere is projected back where it strays too far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import hypot
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact, Table
from holdfast.defense import Capability, Card, Defense, Row, Run, Stage, in_range
from holdfast.defenses.safe_lora.tuned_weights import Change, beside, changes, check_changes
from holdfast.defenses.safe_lora.weight_by_weight import WeightByWeight, sizes_of
from holdfast.defenses.unrelated import tell_unrelated
from holdfast.errors import ConfigError
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.gradients import Tensors


def into_alignment(v: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`Cx` with :math:`C = VV^\top / \lVert V\rVert_F`, C never formed.

    Args:
        v: Aligned minus unaligned weights, shape (out, in), not all 0.
        x: A change ΔW of shape (out, in), or the factor B of ΔW = BA of shape (out, r).
    """
    return v @ (v.mT @ x) / torch.linalg.vector_norm(v)


def cosine(left: Tensor, right: Tensor) -> float:
    r"""Return :math:`\langle a, b\rangle_F / (\lVert a\rVert_F \lVert b\rVert_F)`.

    It is 0 where one of the two is 0. Sums are taken in float64, so that the figure does not
    depend on the order of a reduction.
    """
    a, b = left.flatten().double(), right.flatten().double()
    product = float(a.norm() * b.norm())
    return float(a @ b) / product if product > 0 else 0.0


@dataclass
class SafeLoRA(Defense):
    """Projects what strays from the alignment's subspace back into it, projection by projection."""

    tau: float = 0.5
    """Projections with cos(CΔW, ΔW) at or below τ are projected (spec: .5); 0 projects none."""
    base: str | None = None
    """Folder of the unaligned model of the same architecture (before safety training)."""
    aligned: str | None = None
    """Folder of the aligned model; default the adapter's own base. Needed for full tuning."""

    card: ClassVar[Card] = Card(
        name="safe_lora",
        summary="Projects the changes that stray from the alignment's subspace back into it.",
        stage=Stage.REPAIR,
        paper="Safe LoRA, arXiv 2405.16833",
        strength="tau",
        cost="none per step; a few matrix products per projection at the end",
        models={"base": "unaligned", "aligned": "aligned"},
        reads="projections",
        needs=frozenset({Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check τ and, unless it is 0, that the folders hold weights."""
        in_range(self, "tau", 0.0, 1.0)
        if self.tau == 0:
            return
        if self.base is None:
            raise ConfigError(
                "safe_lora needs base= (the folder of the unaligned model that was aligned into "
                "yours, of the same architecture), got none"
            )
        for name in ("base", "aligned"):
            if getattr(self, name) is not None:
                open_weights(str(getattr(self, name)), f"safe_lora: {name}")

    def check_model(self, model: nn.Module) -> None:
        """Look at the adapter, and at the folders' models beside it."""
        check_changes(model, str(self.base), self.aligned)

    def after(self, run: Run) -> Artifact:
        r"""Put :math:`B \leftarrow CB` wherever :math:`\cos(CBA, BA) \le \tau`."""
        if self.tau == 0:
            return Artifact(self.card.name, report={"tau": 0.0, "projected": 0})
        edits: Tensors = {}
        modules: list[Row] = []
        sizes: list[tuple[float, float, float]] = []
        unaligned, learned = open_weights(str(self.base), "safe_lora: base", run.model), False
        with torch.no_grad():
            for change in changes(run.engine, self.aligned, run.progress):
                edit, row = self._judged(change, unaligned)
                sizes.append(sizes_of(change, row))
                modules.append(row)
                learned = learned or bool(change.factor.any())
                if edit is not None:
                    edits[change.parameter] = edit
        run.engine.edit(edits)
        made = self._artifact(modules)
        left = len(beside(run.engine))
        for line in self._said(modules, sizes, learned=learned, left=left):
            run.say(line)
        return made

    def _said(
        self,
        modules: Sequence[Row],
        sizes: Sequence[tuple[float, float, float]],
        *,
        learned: bool,
        left: int,
    ) -> list[str]:
        """Return what is said of a repair, first whose folder's weights are no kin of the others.

        Args:
            modules: A row for each change.
            sizes: Norms of each: see ``sizes_of``.
            learned: Any weight differs from its aligned value.
            left: Number of trained tensors that are no projections.
        """
        said: list[str] = []
        tuned, alignment, aligned = (hypot(*column) for column in zip(*sizes, strict=True))
        if self.aligned is not None:
            tell_unrelated(said.append, f"safe_lora: aligned={self.aligned}", tuned, aligned)
        tell_unrelated(said.append, f"safe_lora: base={self.base}", alignment, aligned)
        count = sum(row["projected"] for row in modules)
        said.append(f"safe_lora: {count} of {len(modules)} changes projected (τ = {self.tau:g})")
        if not learned:
            said.append("safe_lora: nothing was tuned: these are the aligned weights already")
        if left:
            said.append(
                f"safe_lora: {left} trained tensors of other modules stay as they were tuned"
            )
        return said

    def tensorwise(self, model: nn.Module) -> WeightByWeight | None:
        """Project one weight at a time, where the aligned model lies in a folder of its own."""
        if self.tau == 0:
            return None
        unaligned = open_weights(str(self.base), "safe_lora: base", model)
        return WeightByWeight.of(
            model, self.aligned, unaligned, partial(self._judged, unaligned=unaligned),
            (self._artifact, self._said),
        )  # fmt: skip

    def _artifact(self, modules: Sequence[Row]) -> Artifact:
        projected = sum(row["projected"] for row in modules)
        report = {"tau": self.tau, "projected": projected, "changes": len(modules)}
        document = {**self.config(), **report, "modules": list(modules)}
        shown = {**report, "projections": _by_layer(modules)}
        return Artifact(self.card.name, documents={"projection": document}, report=shown)

    def _judged(self, change: Change, unaligned: SavedWeights) -> tuple[Tensor | None, Row]:
        """Return the edit of one tensor, or None where it stays, and its row of the report."""
        before = change.read(unaligned)
        v = change.aligned - before
        defined = bool(v.any()) and bool(change.factor.any())
        row: Row = {
            "module": change.ref.name, "layer": change.ref.layer, "role": change.ref.role,
            "alignment_norm": float(v.norm()), "cosine": None, "kept": 1.0, "projected": False,
        }  # fmt: skip
        if not defined:  # Nothing was aligned here, or nothing learned: C or the cosine is 0/0.
            return None, row
        inside = into_alignment(v, change.factor)
        whole, projected = change.whole(change.factor), change.whole(inside)
        row["cosine"] = cosine(projected, whole)
        if row["cosine"] > self.tau:
            return None, row
        row |= {"projected": True, "kept": float(projected.norm() / whole.norm())}
        return change.stored(inside - change.factor), row


def _by_layer(modules: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[tuple[int, int, int, float]] = []
    for layer in sorted({row["layer"] for row in modules}):
        own = [row for row in modules if row["layer"] == layer]
        projected = sum(row["projected"] for row in own)
        rows.append((layer, projected, len(own), fmean(row["kept"] for row in own)))
    return Table(
        "SafeLoRA's projections",
        ("layer", "projected", "changes", "norm kept, mean"),
        tuple(rows),
        "Changes projected into the alignment's subspace, and how much of their norm was left.",
    )
