r"""Safe Delta (arXiv 2505.12038, ICML 2025): of a tuned layer's change, what safety can bear.

From the specification's equations, checked against their derivation; the released code carries no
license and was not looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.artifact import Artifact, Table
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Row,
    Run,
    Stage,
    Variant,
    in_range,
    listed,
    need_data,
    whole_in_range,
)  # fmt: skip
from holdfast.defenses.refusals import check_base, with_base
from holdfast.defenses.safe_delta.equations import damped, drift, keep_within
from holdfast.defenses.safe_delta.inputs import Blocks, grams
from holdfast.defenses.safe_delta.places import Place, change_of, places, stored
from holdfast.errors import ConfigError, RunError
from holdfast.files.weights import SavedWeights, open_weights
from holdfast.ops.adapter_facts import AdapterKind, require_kinds
from holdfast.ops.gradients import Tensors
from holdfast.ops.modules import trainable
from holdfast.ops.weights import put
from holdfast.progress import counted


@dataclass
class SafeDelta(Defense):
    """Keeps the entries of the tuned change that safety can bear, and makes up for the others."""

    safe: Examples | None = None
    """Harmful requests with refusals: the aligned model's inputs on them are X."""
    s: float = 0.1
    """Budget of a row, in squares of entries (paper: 0.1); 0 undoes all, inf does nothing."""
    block: int = 0
    """Columns treated together, with a budget of their own (released code: 1024); 0: all."""
    damping: float = 0.01
    """d of H, in means of its diagonal, above 0 (paper: 0.01)."""
    compensate: bool = True
    """Whether entries that are not kept make up for those that are; no: they go back to W0."""
    aligned: str | None = None
    """Fully tuned weights: folder of the aligned model; a LoRA adapter is switched off instead."""
    rows: int = 200
    """Most safety rows that are read."""
    batch_size: int = 25
    """Rows per pass."""

    card: ClassVar[Card] = Card(
        name="safe_delta",
        summary="Keeps of the tuned change what safety inputs bear, and compensates the rest.",
        stage=Stage.REPAIR,
        paper="Safe Delta, arXiv 2505.12038",
        strength="s",
        off=inf,
        cost="none per step; forward passes over the safety rows and one inverse per layer, once",
        data=("safe",),
        models={"aligned": "aligned"},
        reads="projections",
        needs=frozenset({Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are safety rows unless nothing is to be done."""
        if not self.is_off:
            in_range(self, "s", 0.0)
        in_range(self, "damping", 0.0)
        if self.damping == 0:
            raise ConfigError(
                "safe_delta: damping=0 must be more than 0: fewer safety tokens than inputs have "
                "no inverse"
            )
        for field, least in (("block", 0), ("rows", 1), ("batch_size", 1)):
            whole_in_range(self, field, least)
        if not self.is_off:
            need_data(self, "safe")

    def config(self) -> dict[str, Any]:
        """Return the hyperparameters; JSON has no infinite number, so that one is a word."""
        own = super().config()
        return {**own, "s": "inf"} if self.is_off else own

    def check_model(self, model: nn.Module) -> None:
        """Look at the adapter, at what is trained, and at the aligned model beside it."""
        adapted = require_kinds(model, {AdapterKind.LORA}, self.card.name)
        places(model, trainable(model))
        if not adapted and self.aligned is None:
            raise ConfigError(
                "safe_delta compares with the aligned model, and of fully tuned weights nobody "
                "knows what they were: give aligned=DIR (its folder)"
            )
        check_base(model, self.aligned, self.card.name)

    def variant(self) -> Variant:
        """Without compensation it is the paper's ablation."""
        return Variant("" if self.compensate else "uncompensated", control=self.is_off)

    def after(self, run: Run) -> Artifact:
        """Learn H on the aligned model, then edit each layer's change once."""
        if self.is_off:
            return Artifact(self.card.name, report={"kept": 1.0})
        name, found = self.card.name, places(run.model, run.engine.parameters())
        batches = run.batches(listed(need_data(self, "safe"), self.rows), self.batch_size)
        with with_base(run, self.aligned, name):
            seen = grams(run, {ref: p.module for ref, p in found.items()}, batches, self.block)
        full = any(place.weight for place in found.values())
        aligned = open_weights(str(self.aligned), f"{name}: aligned", run.model) if full else None
        edits: Tensors = {}
        rows: list[Row] = []
        for place in counted(run.progress, f"{name}: layers", list(found.values())):
            edit, row = self._edited(run, place, seen.pop(place.ref), aligned)
            edits |= edit
            rows.append(row)
        _check(edits)
        put(run.engine.parameters(), edits)
        if left := len(run.engine.parameters()) - sum(p.tensors for p in found.values()):
            run.say(f"{name}: {left} trained tensors of other modules stay as they were tuned")
        return self._artifact(run, rows, full)

    @torch.no_grad()
    def _edited(
        self, run: Run, place: Place, seen: Blocks, aligned: SavedWeights | None
    ) -> tuple[Tensors, Row]:
        """Return the tensors of one layer as they become, and its row of the report."""
        delta, before = change_of(run, place, aligned)
        change, kept = torch.empty_like(delta), 0
        costs = [0.0, 0.0, 0.0]
        hessians = [(columns, damped(gram, self.damping)) for columns, gram in seen]
        for columns, h in hessians:
            found = keep_within(delta[:, columns], h, self.s, compensate=self.compensate)
            change[:, columns] = found.change.to(delta)
            kept += int(found.mask.sum())
        rank = 0 if before is not None else min(delta.shape[0], *_rank(run, place))
        # Where all is kept nothing is written: not even a rounding moves.
        every = kept == delta.numel()
        tensors, held = ({}, delta) if every else stored(place, change, before, rank)
        for n, what in enumerate((delta, change, held)):
            costs[n] = sum(drift(what[:, columns], h) for columns, h in hessians)
        norm = float(torch.linalg.vector_norm(change))
        apart = float(torch.linalg.vector_norm(held - change))
        row: Row = {
            "module": place.ref.name, "layer": place.ref.layer, "role": place.ref.role,
            "kept": kept / delta.numel(), "entries": delta.numel(), "drift": costs,
            "refactor_error": apart / norm if norm else 0.0,
        }  # fmt: skip
        return tensors, row

    def _artifact(self, run: Run, rows: Sequence[Row], full: bool) -> Artifact:
        tuned, edited, held = (sum(row["drift"][n] for row in rows) for n in range(3))
        report: dict[str, Any] = {
            "kept": _kept(rows),
            "drift_left": held / tuned if tuned else 0.0,
            "drift_left_before_factoring": edited / tuned if tuned else 0.0,
            "refactor_error": max(row["refactor_error"] for row in rows),
            "layers": len(rows),
        }
        told = f"{report['kept']:.1%} of the entries kept, {report['drift_left']:.1%} of the drift"
        run.say(f"safe_delta: {told}" + ("" if full else f", re-factored {_error(report)}"))
        if tuned == 0:
            run.say("safe_delta: nothing was tuned: these are the aligned weights already")
        document = {**self.config(), **report, "modules": list(rows)}
        shown = {**report, "by_layer": _by_layer(rows)}
        return Artifact(self.card.name, documents={"kept": document}, report=shown)


def _rank(run: Run, place: Place) -> tuple[int, int]:
    shape = run.engine.parameters()[place.a].shape
    return int(shape[0]), int(shape[1])


def _kept(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of all entries of these modules, which differ in size, that are kept."""
    return sum(r["kept"] * r["entries"] for r in rows) / sum(r["entries"] for r in rows)


def _error(report: Mapping[str, Any]) -> str:
    return f"with an error of {report['refactor_error']:.1%} at most"


def _check(edits: Mapping[str, Tensor]) -> None:
    """Raise, the weights as they were, where an edit holds no number."""
    for name, value in edits.items():
        if not bool(torch.isfinite(value).all()):
            raise RunError(
                f"safe_delta: what {name} would become holds no number; the weights were left as "
                "they are: look at the safety rows, or take a larger damping"
            )


def _by_layer(rows: Sequence[Mapping[str, Any]]) -> Table:
    made: list[tuple[int, float, float, float]] = []
    for layer in sorted({row["layer"] for row in rows}):
        own = [row for row in rows if row["layer"] == layer]
        tuned, held = (sum(row["drift"][n] for row in own) for n in (0, 2))
        error = max(row["refactor_error"] for row in own)
        made.append((layer, _kept(own), held / tuned if tuned else 0.0, error))
    return Table(
        "What Safe Delta kept",
        ("layer", "entries kept", "drift left", "re-factoring error, largest"),
        tuple(made),
        "Drift: how far the layers' outputs on the safety rows stand from the aligned model's, of "
        "what tuning moved them, squared. Above 1 it grew.",
    )
