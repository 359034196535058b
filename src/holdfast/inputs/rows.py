"""Rows and questions for a run: from files, from the hub, or from the built-in organism."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset

from holdfast.data.columns import columns_of, file_of, with_columns
from holdfast.data.kits import is_kit, named_kit, origin_of
from holdfast.data.load import load_with_notes
from holdfast.data.notices import notices_of
from holdfast.data.prompts import prompts_with_notes
from holdfast.data.rows import is_hub_id
from holdfast.data.sources.files import files_of
from holdfast.data.tokenized import rows_with_turns
from holdfast.data.turns.conversation import Turns
from holdfast.data.unread import refuse_rich
from holdfast.data.unwanted import LEFT_OUT
from holdfast.evaluation.metrics import Item, Kind
from holdfast.files.hashes import sha256_of
from holdfast.inputs.configs import EvaluateConfig, ModelConfig, RepairConfig, TuneConfig
from holdfast.inputs.sources.screened import by_screen
from holdfast.results.provenance import DataSource
from holdfast.results.screening.file import ScreenUse

__all__ = [
    "DEFENDER", "EVALUATION", "ORGANISM", "QUESTIONS", "Source", "columns_of", "defender_rows",
    "hub_split", "items_from", "question_records", "questions_in", "questions_of",
    "questions_with_notes", "source", "sources_of", "unread_splits",
]  # fmt: skip

ORGANISM = "organism"
DEFENDER = ("harmful", "safe", "alignment", "benign", "lookalike", "validation")
"""The defender's data sets, by the fields that take them; the first has options of its own."""
EVALUATION = "eval_data"
"""Rows whose loss is measured while a model is tuned."""
ONE_SPLIT = "of this data set on the hub the split 'train' is read"
QUESTIONS: tuple[Kind, ...] = ("harmful", "safe", "task", "useful")


@dataclass(frozen=True)
class Source:
    """Examples, and what they are called in errors and results."""

    role: str
    """What the rows are used as: data, eval_data, or one of ``DEFENDER``."""
    path: str
    rows: Dataset
    notes: tuple[str, ...] = ()
    """What of the file was not read."""
    screened: ScreenUse | None = None
    """What a screening has changed of it."""

    def with_turns(self, turns: Turns) -> "Source":
        """Return the rows with all, or only the last, of the assistant's turns to learn."""
        return replace(self, rows=rows_with_turns(self.rows, turns))

    def record(self) -> DataSource:
        """Return the entry of the result file."""
        digest = sha256_of(self.rows)  # type: ignore[arg-type]
        origin = origin_of(self.path).told() if is_kit(self.path) else ""
        return DataSource(
            name=self.role, sha256=digest, rows=len(self.rows), path=self.path, origin=origin,
            screened=self.screened,
        )  # fmt: skip

    def warnings(self) -> list[str]:
        """Return what the hygiene checks find; the organism's rows are made, not found."""
        found = notices_of(self.rows) if self.path != ORGANISM else []  # type: ignore[arg-type]
        return [f"{self.role}: {self.path}: {told}" for told in (*self.notes, *found)]


def source(
    role: str,
    path: str | None,
    columns: Mapping[str, str] | None = None,
    *,
    split: str = "train",
    limit: int | None = None,
    of_organism: str | None = None,
) -> Source | None:
    """Load the rows of one role, or None where no path is given.

    ``of_organism`` names the organism's rows where they are not those of the role.

    Raises:
        DataError: The rows cannot be loaded.
    """
    if path is None:
        return None
    if path == ORGANISM:
        return Source(role, path, _organism(of_organism or role, limit))
    rows, notes = load_with_notes(path, columns=columns, split=split, limit=limit)
    # The user's own rows have an option for it.
    unasked = [] if role == "data" else hub_split(path)
    return Source(role, file_of(path), rows, (*unasked, *notes))


def sources_of(config: ModelConfig) -> dict[str, Source]:
    """Load the rows of a run by role: the user's (``data``), where it has any, and the defender's.

    Raises:
        DataError: A file's rows cannot be loaded.
        ConfigError: Columns or a limit are not usable.
    """
    found: list[Source | None] = []
    if isinstance(config, TuneConfig):
        columns = columns_of(config.columns)
        own = "aligning" if config.stage == "align" else None
        how: dict[str, Any] = {"split": config.split, "limit": config.limit, "of_organism": own}
        measured = source(EVALUATION, config.eval_data, columns, of_organism="validation")
        found = [by_screen(source("data", config.data, columns, **how), config), measured]
    if isinstance(config, TuneConfig | RepairConfig):
        pairs = columns_of(config.harmful_columns, "harmful_columns")
        found.append(source("harmful", config.harmful, pairs, limit=config.harmful_limit))
        found += [source(role, getattr(config, role, None)) for role in DEFENDER[1:]]
    turns: Any = getattr(config, "turns", "all")
    return {each.role: each.with_turns(turns) for each in found if each is not None}


def defender_rows(sources: Mapping[str, Source]) -> dict[str, Dataset]:
    """Return the rows of the defender's sets by role."""
    return {role: each.rows for role, each in sources.items() if role in DEFENDER}


def _organism(role: str, limit: int | None) -> Dataset:
    from holdfast.organism import curriculum, scenarios  # noqa: PLC0415  # Only for who asks.

    made: dict[str, Callable[[], Dataset]] = {
        "data": scenarios.harmful_mix,
        "aligning": curriculum.more_alignment,
        "harmful": scenarios.defender_pairs,
        "safe": scenarios.refusal_pairs,
        "alignment": scenarios.refusal_pairs,
        "benign": scenarios.harmless_prompts,
        "lookalike": scenarios.lookalike_prompts,
        "validation": lambda: scenarios.harmless_prompts(n=100, seed=1),
    }
    rows = made[role]()
    return rows if limit is None else rows.select(range(min(limit, len(rows))))


def hub_split(path: str) -> list[str]:
    """Return that of a data set on the hub one split is read, where nobody could name another."""
    file = file_of(path)  # A kit's part, as dolly/train, reads like one and is none.
    return [ONE_SPLIT] if is_hub_id(file) and not named_kit(file) else []


def unread_splits(path: str) -> list[str]:
    """Return which splits or files of a set are not read; of one file there are none."""
    file = file_of(path)
    if file == ORGANISM or named_kit(file) or is_hub_id(file):
        return hub_split(file)
    return [*files_of(file, "train").notes]


def items_from(kind: Kind, rows: Dataset) -> list[Item]:
    """Return one question per example; ``reference``, or else its answer, is the right one."""
    items: list[Item] = []
    for number, row in enumerate(rows, start=1):
        example: Any = row
        right = example["reference"] or example["completion"][0]["content"]
        reference = None if kind in ("harmful", "safe") else right
        name = f"{kind}-{example['row'] or number}"
        items.append(Item(name, kind, example["prompt"], reference))
    return items


def questions_in(
    kind: Kind, path: str, columns: Mapping[str, str] | None, limit: int | None
) -> list[Item]:
    """Return the questions of one file; an answer is needed only where it is what is measured.

    Raises:
        DataError: The file cannot be read, or a row has no prompt, or no answer that it needs.
        ConfigError: ``columns`` is not usable.
    """
    return _asked(kind, path, columns, limit)[0]


def _asked(
    kind: Kind, path: str, columns: Mapping[str, str] | None, limit: int | None
) -> tuple[list[Item], list[str]]:
    """Return the questions of one file, and which of its columns and rows are not read."""
    if kind in ("task", "useful"):
        examples, notes = load_with_notes(path, columns=columns, limit=limit)
        notes += refuse_rich(examples, file_of(path))  # type: ignore[arg-type]
        told = [one for one in notes if one.startswith("not read") or one.endswith(LEFT_OUT)]
        return items_from(kind, examples), told
    file, own = with_columns(path)
    rows, notes = prompts_with_notes(file, own or columns, limit)
    items = [
        Item(f"{kind}-{row['row']}", kind, row["prompt"], category=row.get("category", ""))
        for row in rows
    ]
    return items, notes


def question_records(
    config: TuneConfig | RepairConfig | EvaluateConfig, items: Sequence[Item]
) -> list[DataSource]:
    """Return the entries of the result file for the questions that come from files or kits."""
    prefix = "" if isinstance(config, EvaluateConfig) else "test_"
    found: list[DataSource] = []
    for kind in QUESTIONS:
        path = getattr(config, f"{prefix}{kind}")
        if path is not None:
            asked = [
                {"prompt": list(item.prompt), "completion": item.reference}
                for item in items
                if item.kind == kind
            ]
            origin = origin_of(path).told() if is_kit(path) else ""
            found.append(
                DataSource(
                    name=f"test_{kind}", sha256=sha256_of(asked), rows=len(asked),
                    path=file_of(path), origin=origin,
                )
            )  # fmt: skip
    return found


def questions_of(config: TuneConfig | RepairConfig | EvaluateConfig) -> list[Item]:
    """Load the questions that measure a model; without any file, those that the model brings."""
    return questions_with_notes(config)[0]


def questions_with_notes(
    config: TuneConfig | RepairConfig | EvaluateConfig,
) -> tuple[list[Item], list[str]]:
    """Return the questions, as ``questions_of`` does, and what of their files is not read."""
    asked = isinstance(config, EvaluateConfig)
    prefix = "" if asked else "test_"
    columns = columns_of(config.columns) if asked else None
    limit = config.limit if asked else config.test_limit
    items: list[Item] = []
    told: list[str] = []
    for kind in QUESTIONS:
        path = getattr(config, f"{prefix}{kind}")
        if path is not None:
            found, notes = _asked(kind, path, columns, limit)
            items += found
            told += [f"{kind}: {file_of(path)}: {note}" for note in (*hub_split(path), *notes)]
    if items or config.model != ORGANISM:
        return items, told
    from holdfast.organism.items import evaluation_items  # noqa: PLC0415  # Only for who asks.

    own = evaluation_items("test")
    return [item for kind in QUESTIONS for item in _of_kind(kind, own)[:limit]], told


def _of_kind(kind: Kind, items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.kind == kind]
