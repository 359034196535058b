"""What is screened: the rows of a source with its hash, and what a check may look at beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from holdfast.commands.data_view.sources import prompts_of, safety_sets, source_of
from holdfast.commands.data_view.tokens import reader_of
from holdfast.commands.screening.options import ScreenConfig
from holdfast.data.checks import Context
from holdfast.data.checks.protocol import Others
from holdfast.data.columns import columns_of
from holdfast.data.overview.looked import look_through
from holdfast.evaluation.judges.learned_refusal import probabilities
from holdfast.files.hashes import sha256_of
from holdfast.inputs.rows import ORGANISM, source, unread_splits

__all__ = ["Data", "context_of", "data_of", "unread_of"]

SEED = 0
"""Of a sample."""


@dataclass(frozen=True)
class Data:
    """The rows of a source."""

    source: str
    columns: dict[str, str] | None
    files: tuple[Path, ...]
    examples: list[dict[str, Any]]
    """All that can be read."""
    looked_at: list[dict[str, Any]]
    """A sample of them, or all."""
    bad: dict[int, str]
    """Number of each row that cannot be read, and why."""
    notes: list[str]

    @property
    def sha256(self) -> str:
        """The hash that a result has of these rows."""
        return sha256_of(self.examples)


def data_of(config: ScreenConfig) -> Data:
    """Read the rows of a config's file.

    Raises:
        InputError: The file cannot be read, or no row of it can.
    """
    if config.file == ORGANISM:
        found: Any = source("data", ORGANISM, limit=config.limit)
        rows = [{**row, "row": n} for n, row in enumerate(found.rows, start=1)]
        return Data(ORGANISM, None, (), rows, _sample(rows, config.sample), {}, [])
    given, own = source_of(config.file)
    columns = own or columns_of(config.columns)
    looked = look_through(given, columns, config.split, config.limit)
    files = tuple(Path(part.table.name) for part in looked.rows.parts)
    notes = list(looked.notes)
    if not looked.answered:
        notes.append("prompts without answers: what checks say of answers is not looked at")
    rows = looked.examples
    return Data(given, columns, files, rows, _sample(rows, config.sample), looked.bad, notes)


def _sample(rows: list[dict[str, Any]], size: int | None) -> list[dict[str, Any]]:
    if size is None or size >= len(rows):
        return rows
    drawn = Random(SEED).sample(range(len(rows)), size)  # noqa: S311  # No secret.
    return [rows[n] for n in sorted(drawn)]


def context_of(config: ScreenConfig) -> Context:
    """Read what checks may look at: tokenizer and length of the model, prompts of other sets.

    Raises:
        InputError: Any of it cannot be read.
    """
    tokenizer, limit = reader_of(config) if config.model else (None, None)
    sets = [Others(name, prompts_of(name), test=True) for name in config.against]
    sets += [
        Others(f"`{role}`", prompts_of(given), test=False)
        for role, given in (("harmful", config.harmful), ("safe", config.safe))
        if given is not None and given != ORGANISM
    ]
    sets += [Others(name, prompts, test=True) for name, prompts in safety_sets()]
    return Context(tokenizer, config.max_length or limit, tuple(sets), _refuse)


def unread_of(config: ScreenConfig) -> list[str]:
    """Return what of the sets beside the data is not read: splits that nobody has named."""
    pairs = [config.harmful, config.safe, *config.reference, *config.against]
    named = dict.fromkeys(name for name in pairs if name is not None)
    return [f"{name}: {told}" for name in named for told in unread_splits(name)]


def _refuse(questions: Sequence[str], answers: Sequence[str]) -> list[bool]:
    """Tell which answers refuse, in full or in part, by the learned judge."""
    return [float(helped) < 0.5 for helped in probabilities(questions, answers)[:, 2]]
