"""A bench of any model: rows and questions come from files, which a recipe names.

For each seed the user's rows and the defender's are drawn anew from the files, so that intervals
over seeds mean something only where the files have more rows than a run takes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from holdfast.bench.subject.organism import MIXED, holdfast_version
from holdfast.bench.subject.questions import ANSWERS, QUESTIONS, SPLITS, asked, of_split
from holdfast.bench.subject.unchanged import refuse_changed, weights_of
from holdfast.data.chat import check_lengths
from holdfast.data.columns import with_columns
from holdfast.data.load import load_examples
from holdfast.data.mix import mix
from holdfast.data.prompts import prompts_in
from holdfast.defense import ModelRole
from holdfast.errors import ConfigError
from holdfast.evaluation import Item
from holdfast.inputs.configs import DType
from holdfast.inputs.fit.rows import control_notes, question_notes
from holdfast.inputs.judging import check_items, judges_for
from holdfast.inputs.models import load_model, positions
from holdfast.inputs.rows import Source
from holdfast.organism.scenarios import Budget
from holdfast.results.provenance import fingerprint
from holdfast.training.sft_options import cpu_options

__all__ = ["BENIGN", "ROLES", "FileSubject", "Training", "examples_of", "rows_of"]

BENIGN = "benign_task"
DEFENDER = {
    "harmful": "defender_rows", "safe": "defender_rows", "alignment": "defender_rows",
    "benign": "benign_rows", "lookalike": "benign_rows", "validation": "validation_rows",
}  # fmt: skip
"""The defender's data sets, and the recipe's key that says how many rows of each are drawn."""
ROLES = ("task", "attack", "align", *DEFENDER, *QUESTIONS)


@dataclass(frozen=True)
class Training(Budget):
    """The user's fine-tuning run of another model, and how it is loaded and asked."""

    dtype: DType = "float32"
    """Of the model's weights; factors of an adapter are float32 beside any."""
    max_new_tokens: int = 64
    """Most tokens of an answer."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time, same weights."""
    evaluation_batch: int | None = None
    """Questions answered at a time; by default 32, and 256 on a GPU."""

    @property
    def batch_of_answers(self) -> int:
        """Questions answered at a time on this machine."""
        return self.evaluation_batch or (256 if torch.cuda.is_available() else 32)

    @property
    def deciding(self) -> dict[str, Any]:
        """What of it decides a result, by name: not how the same steps are fit into a machine."""
        left_out = ("gradient_checkpointing", "evaluation_batch")
        return {key: value for key, value in vars(self).items() if key not in left_out}


@dataclass(frozen=True)
class FileSubject:
    """A model's folder or hub id, with files of rows and questions."""

    name: str
    files: Mapping[str, str]
    """Path or hub id by role; see ``ROLES``."""
    training: Training
    digests: Mapping[str, str]
    """SHA-256 of the model's files and of the rows, by role."""
    real: bool = True
    scenarios: tuple[str, ...] = (MIXED, BENIGN)

    @property
    def path(self) -> str:
        """The model's folder or hub id."""
        return self.name

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of an answer."""
        return self.training.max_new_tokens

    @property
    def batch_of_answers(self) -> int:
        """Questions answered at a time."""
        return self.training.batch_of_answers

    @property
    def keeps_answers(self) -> bool:
        """Whether usefulness is how far a reference's answers are kept."""
        return any(role in self.files for role in ANSWERS)

    def made_by(self) -> dict[str, Any]:
        """Return holdfast's version, the hashes of the model and of the files, and who judges."""
        judges = [judge.name for judge in judges_for(self.name).judges]
        # A folder that was moved, or made again bit for bit elsewhere, is the same model.
        name = Path(self.name).name if self.digests.get("weights") else self.name
        return {"holdfast": holdfast_version(), "model": name, **self.digests,
                "training": self.training.deciding, "judges": judges}  # fmt: skip

    def budget(self, scenario: str) -> Budget:
        """Return the recipe's ``training``."""
        del scenario
        return self.training

    def user_rows(self, scenario: str, n: int, p: float, seed: int) -> Dataset:
        """Return ``n`` rows of ``task`` and ``attack``, drawn without replacement.

        Raises:
            DataError: A file has too few rows.
            ConfigError: Rows of ``attack`` are wanted and there is no such file.
        """
        del scenario
        if p > 0 and "attack" not in self.files:
            raise ConfigError("files has no attack: give the harmful pairs of the attacker's rows")
        added = "attack" if p > 0 else "task"  # Without a share none of its rows is drawn.
        names = self.files["task"], self.files[added]
        return mix(self._rows("task"), self._rows(added), n=n, p=p, seed=seed, names=names)

    def defender(self, sizes: Mapping[str, Any], scenario: str, seed: int) -> dict[str, Any]:
        """Return rows of each file that is given: as many as the recipe says, or all it has."""
        del scenario
        found: dict[str, Any] = {}
        for role, size in DEFENDER.items():
            if role in self.files:
                rows = self._rows(role)
                order = np.random.default_rng([seed, 3]).permutation(len(rows))
                found[role] = rows.select(order[: sizes[size]])
        return found

    def alignment(self, seed: int) -> tuple[Dataset, Budget]:
        """Return the rows of ``align`` in a seeded order, tuned as the user's are.

        Raises:
            ConfigError: There is no such file.
        """
        if "align" not in self.files:
            raise ConfigError("files has no align: give rows with answers of an aligned model")
        rows = self._rows("align")
        return rows.shuffle(seed=seed), self.training

    def probe(self) -> Dataset | None:
        """Return rows of ``attack``, of which a run may learn some."""
        return self._rows("attack").take(32) if "attack" in self.files else None

    def questions(self, split: str, per_kind: int, scenario: str) -> list[Item]:
        """Return the first ``per_kind`` questions of each file of the split.

        Raises:
            InputError: A file is not what it was when the bench began.
        """
        del scenario
        found = asked(self.files, split, per_kind)
        for role in (role for role in of_split(split) if role in self.files):
            self._refuse_changed(role)
        return found

    def load(self, start: Path | None = None) -> tuple[Any, Any]:
        """Return (model, tokenizer), on the GPU where there is one.

        Raises:
            InputError: The subject's own is not what it was when the bench began.
        """
        model, tokenizer = load_model(str(start or self.name), dtype=self.training.dtype)
        if start is None:
            known = self.digests.get("weights", "")
            refuse_changed(f"model={self.name}", weights_of(self.name), known)
        return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer

    def trainer_options(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """Return the longest row the model takes, and how this machine computes its steps."""
        again = {"gradient_checkpointing": self.training.gradient_checkpointing}
        # Weights that are bfloat16 already need no autocast, and steps are a CPU's.
        plain = {} if self.training.dtype == "float32" else {"bf16": False, "fp16": False}
        return {"max_length": positions(model, tokenizer), **again, **cpu_options(), **plain}

    def folders(self) -> dict[ModelRole, str]:
        """Return nothing: a defense that needs a folder has to name it."""
        return {}

    def ancestor(self) -> None:
        """Return nothing: nobody knows what a user's model was before."""

    def check(self) -> None:
        """Load the model once, not to a GPU that its workers need, and hold all rows against it.

        Raises:
            InputError: The model or a file cannot be used; names the file and the row.
        """
        model, tokenizer = load_model(self.name, dtype=self.training.dtype)
        limit = positions(model, tokenizer)
        for role in self.files.keys() - QUESTIONS.keys():
            check_lengths(self._rows(role), tokenizer, limit, self.files[role])  # type: ignore[arg-type]
        every = [item for split in SPLITS for item in self.questions(split, 10**9, BENIGN)]
        check_items(every, tokenizer, limit, self.max_new_tokens)
        read = [Source(role, path, self._rows(role)) for role, path in self.files.items()
                if role not in QUESTIONS]  # fmt: skip
        control_notes(read, tokenizer, {}, allowed=False)
        question_notes(every, tokenizer, allowed=False)

    def _rows(self, role: str) -> Dataset:
        found = examples_of(self.files[role])
        self._refuse_changed(role)
        return found

    def _refuse_changed(self, role: str) -> None:
        path = self.files[role]
        refuse_changed(f"{role}={path}", _read_as(role, path), self.digests.get(role, ""))


def rows_of(role: str, path: str) -> Sequence[Mapping[str, Any]]:
    """Return what a run reads of a file: of harmful and safe questions the prompts alone."""
    if QUESTIONS.get(role) in ("harmful", "safe"):
        file, columns = with_columns(path)
        return prompts_in(file, columns)
    return examples_of(path)  # type: ignore[return-value]


@cache
def _read_as(role: str, path: str) -> str:
    """Return the SHA-256 of what this process has read of a file."""
    return fingerprint(role, rows_of(role, path), path).sha256


@cache
def examples_of(path: str) -> Dataset:
    """Load a file once for each process."""
    return load_examples(path)
