"""A file's rows as the model reads them: their lengths in tokens, and a few of them in full."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datasets import Dataset

from holdfast.commands.data_view.options import DataConfig
from holdfast.commands.data_view.shown import Shown, shown_rows
from holdfast.data.load import FEATURES
from holdfast.data.notices import Notice
from holdfast.data.overview.lengths import Lengths
from holdfast.data.overview.looked import Looked
from holdfast.data.overview.rendered_rows import Encoded, encoded
from holdfast.data.rendering.control_tokens import ControlTokens
from holdfast.data.tokenized import rows_with_turns
from holdfast.data.turns.conversation import spoken
from holdfast.files.guarded.plain_config import plain_config
from holdfast.inputs.fit.turns import turn_notes
from holdfast.inputs.loading.names import check_folder, is_local, loaded
from holdfast.inputs.loading.tokenizers import tokenizer_of
from holdfast.inputs.models import positions
from holdfast.inputs.rows import ORGANISM, Source

__all__ = ["ModelView", "model_view", "reader_of"]


@dataclass(frozen=True)
class ModelView:
    """What a model makes of a file."""

    name: str
    limit: int | None
    """Most tokens of a row."""
    lengths: dict[str, Lengths]
    """Of the whole row and of what is trained of it, in tokens."""
    findings: list[Notice]
    """Rows that would be cut or refused, or of which the template leaves something out."""
    notes: list[str]
    shown: list[Shown]
    """A few rows."""

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        return {
            "name": self.name,
            "limit": self.limit,
            "lengths": {name: found.told() for name, found in self.lengths.items()},
            "findings": [{"said": f.sentence, "rows": f.rows} for f in self.findings],
            "notes": self.notes,
            "shown": [vars(each) for each in self.shown],
        }


def model_view(config: DataConfig, looked: Looked, harmful: frozenset[int]) -> ModelView | None:
    """Return what the model of a config makes of the rows, None without a model.

    Only its tokenizer and its config are read. Rows of ``harmful`` are shown redacted.

    Raises:
        ModelError: The tokenizer cannot be loaded, or has no chat template of use.
    """
    if config.model is None:
        return None
    tokenizer, longest = reader_of(config)
    limit = config.max_length or longest
    found, refused = encoded(looked.examples, tokenizer, config.file)
    lengths = {"row": Lengths.of([len(each.ids) for each in found])}
    if looked.answered:
        lengths["trained"] = Lengths.of([sum(each.trained) for each in found])
    return ModelView(
        name=config.model,
        limit=limit,
        lengths=lengths if found else {},
        findings=[
            *_refused(refused, len(looked.examples)),
            *_cut(found, limit, answered=looked.answered),
        ],
        notes=_notes(config.file, looked, tokenizer, refused),
        shown=shown_rows(found[: config.show], tokenizer, harmful),
    )


def reader_of(config: Any) -> tuple[Any, int | None]:
    """Return the tokenizer that a config names, and the most tokens of a row the model takes."""
    name = str(config.model)
    if name == ORGANISM:
        from holdfast import organism  # noqa: PLC0415  # Only for who asks for it.

        model, tokenizer = organism.load()
        return tokenizer, positions(model, tokenizer)
    local = is_local(name, "model")
    if local:
        check_folder(Path(name), "model", trust_remote_code=False, weights=False)
    how: dict[str, Any] = {"revision": config.revision, "local_files_only": local}
    tokenizer = tokenizer_of(name, "model", config.chat_template, **how)
    told = loaded(name, "model", lambda: plain_config(name, **how), config.revision)
    return tokenizer, positions(SimpleNamespace(config=told), tokenizer)


def _refused(refused: Mapping[int, str], of: int) -> list[Notice]:
    """Return which rows the template or the tokenizer refuses, by what it says of them."""
    by_reason: dict[str, list[int]] = {}
    for row, why in refused.items():
        by_reason.setdefault(why, []).append(row)
    return [
        Notice(f"{len(rows)} of {of} rows are refused: {why}", tuple(rows))
        for why, rows in by_reason.items()
    ]


def _cut(rows: Sequence[Encoded], limit: int | None, *, answered: bool) -> list[Notice]:
    """Return which rows are longer than ``limit``, and of which nothing would be trained."""
    if limit is None:
        return []
    cut = tuple(each.row for each in rows if len(each.ids) > limit)
    # A label is learned from the token before it, so the first teaches nothing.
    emptied = tuple(
        each.row for each in rows if answered and not any(each.trained[1:limit])
    )  # fmt: skip
    told = [
        Notice(f"{len(cut)} of {len(rows)} rows have more than {limit} tokens", cut),
        Notice(f"{len(emptied)} of {len(rows)} rows have no trained token within them", emptied),
    ]
    return [finding for finding in told if finding.rows]


def _notes(name: str, looked: Looked, tokenizer: Any, refused: Mapping[int, str]) -> list[str]:
    """Return what of the text is control tokens, and what the template leaves out."""
    rows = [row for row in looked.examples if row["row"] not in refused]
    named = ((str(row["row"]), *spoken(row)) for row in rows)
    control = ControlTokens(tokenizer).found(name, named, len(rows))
    notes = [] if control is None else [str(control).removeprefix(f"{name}: ")]
    if looked.answered and rows:
        table = rows_with_turns(Dataset.from_list(rows, features=FEATURES), "all")
        told = turn_notes([Source("data", name, table)], tokenizer)
        notes += [note.removeprefix(f"data: {name}: ") for note in told]
    return notes
