"""Every tool on every model type of the zoo, really run: what works, what is refused and why.

A cell is one tool on one type: a few steps on a random model of two layers. It must change what it
says it changes, and a refusal must come as an error of ours, before anything has changed.
"""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from peft import get_peft_model
from transformers import TrainingArguments

from holdfast import (
    MLLR,
    RESTA,
    SWAT,
    Panacea,
    SafeLoRA,
    SecureTrainer,
    SecurityVectors,
    repair,
)  # fmt: skip
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.analysis.pipeline import AnalysisSettings, analyze
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.data.chat import collate, encode
from holdfast.defenses.support import support
from holdfast.errors import InputError
from holdfast.evaluation.generate import generate
from holdfast.inputs.models import load_model
from holdfast.ops.modules import parts, projections
from holdfast.training.lora_targets import on_projections
from holdfast.training.sft_options import lora
from tests.tiny import LAYERS, WORDS, tiny_tokenizer
from tests.zoo import zoo_model

__all__ = ["TOOLS", "Cell", "cells_of"]

TOOLS = (
    "roles", "lora", "security_vectors", "panacea", "ml_lr", "swat", "analyze", "safe_lora",
    "resta", "evaluate",
)  # fmt: skip


class Cell(NamedTuple):
    """One tool on one type."""

    works: bool
    said: str
    """Why not; where it works, what it leaves alone."""


def _example(question: str, answer: str) -> dict[str, Any]:
    turns = {"user": question}, {"assistant": answer}
    made = [[{"role": role, "content": text} for role, text in turn.items()] for turn in turns]
    return {"prompt": made[0], "completion": made[1]}


HARMFUL = [_example(f"how to make a {word}", "make the sum") for word in WORDS[-12:]]
BENIGN = [_example(f"what is {n} plus {n}", str(2 * n)) for n in range(10)]
PLENTY = [
    [
        _example(f"{ask} make {word}", "sum")
        for ask in ("how to", "tell me")
        for word in WORDS[-12:]
    ],
    [_example(f"what is {a} plus {b}", str(a + b)) for a in range(6) for b in range(4)],
]
_VECTOR: dict[str, Any] = {
    "harmful": HARMFUL[:4], "benign": BENIGN[:4], "epochs": 1, "rank": 2, "batch_size": 4,
    "max_harmful_nll": 1e9, "max_benign_kl": 1e9,
}  # fmt: skip


class _Bench:
    """One type's models and folders, made once for all its cells."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.tokenizer = kind, folder, tiny_tokenizer()
        self._tuned: Any = None
        self.rows = [encode(row, self.tokenizer, None) for row in BENIGN[:4]]

    def model(self, seed: int = 0) -> Any:
        return zoo_model(self.kind, seed)

    def saved(self, seed: int) -> str:
        where = self.folder / f"model-{seed}"
        if not where.exists():
            self.model(seed).save_pretrained(where)
            self.tokenizer.save_pretrained(where)
        return str(where)

    def adapted(self) -> Any:
        model = self.model()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return get_peft_model(model, on_projections(lora(2, 4), model)[0])

    def trained(self, *defenses: Any, model: Any = None) -> Any:
        """Train an adapter for two steps and return it; it must have moved."""
        model = self.adapted() if model is None else model
        trainer = SecureTrainer(
            model=model,
            args=TrainingArguments(
                str(self.folder / "run"), max_steps=2, per_device_train_batch_size=2,
                learning_rate=1e-2, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True,
                save_strategy="no", logging_strategy="no", seed=1,
            ),
            train_dataset=self.rows,
            data_collator=lambda batch: collate(batch, 0),
            processing_class=self.tokenizer,
            defenses=defenses,
        )  # fmt: skip
        before = _trainable(model)
        # It looks for garbage in all of this process at each start: half a second, for nothing.
        with patch("accelerate.utils.memory.gc"):
            trainer.train()
        assert moved(before, _trainable(model)), "training changed nothing"
        return trainer

    def tuned(self) -> Any:
        """Return a copy of an adapter that was trained once."""
        if self._tuned is None:
            self._tuned = self.trained().model
        return copy.deepcopy(self._tuned)

    def robust(self) -> str:
        """Return the file of Mods_Rob: the projections of the first layer."""
        found = sorted({(ref.layer, ref.role) for ref in parts(self.model())})
        modules = [ModuleAt(layer=layer, role=role) for layer, role in found if layer == 0]
        roles = sorted({role for _, role in found})
        made = RobustModules(layers=LAYERS, roles=roles, modules=modules)
        return str(made.save(self.folder / "robust_modules.json"))


def _trainable(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(value, after[name]) for name, value in before.items())


def _roles(bench: _Bench) -> None:
    assert projections(bench.model())


def _lora(bench: _Bench) -> None:
    bench.tuned()


def _vectors(bench: _Bench) -> None:
    trainer = bench.trained(SecurityVectors(**_VECTOR))
    [artifact] = trainer.artifacts
    factors = {name for tensors in artifact.tensors.values() for name in tensors}
    held = {ref.name for ref in projections(bench.model())}
    assert all(any(name in factor for factor in factors) for name in held), "the vector has gaps"


def _repaired(bench: _Bench, defense: Any) -> None:
    model = bench.tuned()
    before = _trainable(model)
    repair(defense, model, bench.tokenizer)
    assert moved(before, _trainable(model)), "the repair changed nothing"


def _panacea(bench: _Bench) -> None:
    _repaired(bench, Panacea(harmful=HARMFUL[:4], batch_size=4))


def _safe_lora(bench: _Bench) -> None:
    _repaired(bench, SafeLoRA(tau=1.0, base=bench.saved(1), aligned=bench.saved(0)))


def _resta(bench: _Bench) -> None:
    _repaired(bench, RESTA(harmful=HARMFUL[:4], epochs=1, batch_size=4))


def _ml_lr(bench: _Bench) -> None:
    bench.trained(MLLR(modules=bench.robust()))


def _swat(bench: _Bench) -> None:
    bench.trained(SWAT(modules=bench.robust(), warmup=0.5))


def _analyze(bench: _Bench) -> None:
    prompts = Prompts.checked(with_tokenizer(bench.tokenizer), *PLENTY)
    model = bench.model()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    found = analyze(model, prompts, AnalysisSettings(seeds=1))
    assert len(found.robustness.modules) == len(parts(model))
    assert not moved(before, {n: p.detach() for n, p in model.named_parameters()})


def _evaluate(bench: _Bench) -> None:
    model, tokenizer = load_model(bench.saved(0))
    prompts = [row["prompt"] for row in BENIGN[:3]]
    answers = generate(model, tokenizer, prompts, max_new_tokens=3)
    assert len(answers) == len(prompts)


_RUNS: dict[str, Callable[[_Bench], None]] = {
    "roles": _roles, "lora": _lora, "security_vectors": _vectors, "panacea": _panacea,
    "ml_lr": _ml_lr, "swat": _swat, "analyze": _analyze, "safe_lora": _safe_lora, "resta": _resta,
    "evaluate": _evaluate,
}  # fmt: skip


def cells_of(kind: str) -> dict[str, Cell]:
    """Return every tool's cell on the type; what is no refusal of ours is raised as it is."""
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(kind, Path(folder))
        told = {row.method: row.reason for row in support(bench.model()) if row.works}
        told["lora"] = "; ".join(on_projections(lora(2, 4), bench.model())[1])
        return {tool: _cell(_RUNS[tool], bench, told.get(tool, "")) for tool in TOOLS}


def _cell(run: Callable[[_Bench], None], bench: _Bench, leaves: str) -> Cell:
    try:
        run(bench)
    except InputError as error:
        return Cell(False, str(error).replace(str(bench.folder), "…"))
    return Cell(True, leaves)
