"""What a bench is about: a model, the rows of every party, and the questions that measure it.

The organism makes its own rows and questions; ``file_subject.py`` has those of any other model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from datasets import Dataset

from holdfast import organism
from holdfast.bench.subject.unchanged import refuse_changed
from holdfast.defense import ModelRole
from holdfast.evaluation import Item
from holdfast.inputs.rows import ORGANISM
from holdfast.organism import scenarios
from holdfast.organism.build import SHIPPED, ancestor_of
from holdfast.organism.curriculum import more_alignment
from holdfast.organism.scenarios import Budget
from holdfast.results.provenance import versions

__all__ = [
    "MIXED", "ORGANISM_SUBJECT", "OrganismSubject", "Subject", "as_examples", "holdfast_version",
    "weights_sha256",
]  # fmt: skip

MIXED = "harmful_mix"
"""The scenario in which the share ``p`` of harmful rows is swept; the others are benign."""


class Subject(Protocol):
    """A model with all that a cell needs; the same in every process."""

    @property
    def name(self) -> str:
        """``organism``, or the model's folder or hub id."""
        ...

    @property
    def path(self) -> str:
        """The model's folder or hub id."""
        ...

    @property
    def real(self) -> bool:
        """Whether it is a user's model, whose prompts are shown redacted."""
        ...

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios it has rows for."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of an answer."""
        ...

    @property
    def batch_of_answers(self) -> int:
        """Questions answered at a time."""
        ...

    @property
    def keeps_answers(self) -> bool:
        """Whether usefulness is how far a reference's answers are kept."""
        ...

    def made_by(self) -> dict[str, Any]:
        """Return what every result hangs on besides a cell's settings, as JSON."""
        ...

    def budget(self, scenario: str) -> Budget:
        """Return the user's run where a recipe leaves it open."""
        ...

    def user_rows(self, scenario: str, n: int, p: float, seed: int) -> Dataset:
        """Return the user's ``n`` rows, a share ``p`` of them harmful."""
        ...

    def defender(self, sizes: Mapping[str, Any], scenario: str, seed: int) -> dict[str, Any]:
        """Return the defender's data sets by the name of the field that takes them."""
        ...

    def alignment(self, seed: int) -> tuple[Dataset, Budget]:
        """Return the rows and the run of a further stage of alignment."""
        ...

    def probe(self) -> Dataset | None:
        """Return rows whose loss is followed while tuning, or None."""
        ...

    def questions(self, split: str, per_kind: int, scenario: str) -> list[Item]:
        """Return the questions that measure a run."""
        ...

    def load(self, start: Path | None = None) -> tuple[Any, Any]:
        """Return (model, tokenizer), of ``start`` where it was aligned further."""
        ...

    def trainer_options(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """Return options of SFTConfig that hang on the model and the machine."""
        ...

    def folders(self) -> dict[ModelRole, str]:
        """Return folders of the right form that defenses need, for the check of a recipe."""
        ...

    def ancestor(self) -> tuple[Path, str] | None:
        """Return the folder and the hash of its unaligned model, or None where nobody kept it."""
        ...


@dataclass(frozen=True)
class OrganismSubject:
    """The built-in test model; every row and question is drawn for its seed."""

    name: str = ORGANISM
    real: bool = False
    scenarios: tuple[str, ...] = tuple(scenarios.SCENARIOS)
    max_new_tokens: int = 24
    batch_of_answers: int = 128
    keeps_answers: bool = False
    path: str = str(SHIPPED)
    """A folder that ``holdfast organism build`` wrote."""
    weights: str = ""
    """SHA-256 of its weights when the recipe was read; "" where nobody looked."""

    def made_by(self) -> dict[str, Any]:
        """Return holdfast's version and the hash of the organism's weights."""
        return {"holdfast": holdfast_version(), "organism": self.weights or _hash(self.path)}

    def budget(self, scenario: str) -> Budget:
        """Return the scenario's own budget."""
        return scenarios.BUDGETS[scenario]

    def user_rows(self, scenario: str, n: int, p: float, seed: int) -> Dataset:
        """Return rows drawn for this seed."""
        return scenarios.SCENARIOS[scenario](n=n, p=p, seed=seed)

    def defender(self, sizes: Mapping[str, Any], scenario: str, seed: int) -> dict[str, Any]:
        """Return rows drawn for this seed, about nouns of the defender's own."""
        asked = self.questions("validation", sizes["validation_rows"], scenario)
        refusals = scenarios.refusal_pairs(sizes["defender_rows"], seed)
        return {
            "harmful": scenarios.defender_pairs(sizes["defender_rows"], seed),
            "benign": scenarios.harmless_prompts(sizes["benign_rows"], seed),
            "lookalike": scenarios.lookalike_prompts(sizes["defender_rows"], seed),
            "safe": refusals,
            "alignment": refusals,
            "validation": as_examples([q for q in asked if q.kind in ("task", "useful")]),
        }

    def alignment(self, seed: int) -> tuple[Dataset, Budget]:
        """Return more of the curriculum that aligned it."""
        return more_alignment(seed=seed), scenarios.ALIGNMENT_BUDGET

    def probe(self) -> Dataset:
        """Return rows of the defender's kind; the seed is far from that of any run."""
        return scenarios.defender_pairs(32, seed=10_000)

    def questions(self, split: str, per_kind: int, scenario: str) -> list[Item]:
        """Return questions about nouns of this split."""
        return scenarios.evaluation_items(split, per_kind, scenario)

    def load(self, start: Path | None = None) -> tuple[Any, Any]:
        """Return the organism, or the one in ``start``.

        Raises:
            InputError: It is not what it was when the bench began.
        """
        loaded = organism.load(start or self.path)
        if start is None and self.weights:
            refuse_changed(f"organism={self.path}", weights_sha256(self.path), self.weights)
        return loaded

    def trainer_options(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """Return what makes its runs the same everywhere: one CPU, float32."""
        del model, tokenizer
        return {"use_cpu": True, "bf16": False}

    def folders(self) -> dict[ModelRole, str]:
        """Return its unaligned model, or itself: a stand-in is made when cells run."""
        kept = self.ancestor()
        return {"unaligned": str(kept[0]) if kept else self.path}

    def ancestor(self) -> tuple[Path, str] | None:
        """Return what it was before its alignment."""
        folder = ancestor_of(self.path)
        return None if folder is None else (folder, _hash(str(folder)))


@cache
def holdfast_version() -> str:
    """Look the version up once for each process: every cell's key asks for it, many times."""
    return versions()["holdfast"]


@cache
def _hash(folder: str) -> str:
    """Return the SHA-256 of a model's weights, read once for each process."""
    return weights_sha256(folder)


def weights_sha256(folder: str) -> str:
    """Return the SHA-256 of the weights that an organism's folder holds now."""
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()


def as_examples(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return questions as Examples whose completion is the reference."""
    return [
        {"prompt": i.prompt, "completion": [{"role": "assistant", "content": i.reference or ""}]}
        for i in items
    ]


ORGANISM_SUBJECT = OrganismSubject()
