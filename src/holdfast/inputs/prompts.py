"""Prompts of an analysis: from files whose rows may lack an answer, the hub, or the organism."""

from typing import Any

from holdfast.data.chat import encode_prompt
from holdfast.data.columns import with_columns
from holdfast.data.prompts import prompts_in
from holdfast.defense import Row, listed
from holdfast.errors import ConfigError, DataError
from holdfast.inputs.configs import AnalyzeConfig
from holdfast.inputs.rows import ORGANISM, source

__all__ = ["check_prompt_lengths", "load_prompts", "organism_ood", "prompt_sets"]

SETS = ("harmful", "benign", "harmful_ood", "benign_ood")


def load_prompts(
    path: str, role: str, column: str | None = None, limit: int | None = None
) -> list[Row]:
    """Return rows of ``prompt`` (messages), an empty ``completion`` and ``row``.

    Args:
        path: A data file, a hub id, or ``organism``; ``::prompt=NAME`` behind
            it wins over ``column``.
        role: ``harmful`` or ``benign``: which of the organism's prompts.
        column: The column of the prompts; by default ``messages``, ``prompt``, ``question`` or
            ``goal``. A conversation that ends with an answer is cut before it.
        limit: Most rows to read.

    Raises:
        DataError: The source cannot be read or a row is malformed.
    """
    if path != ORGANISM:
        file, own = with_columns(path)
        return prompts_in(file, own or ({"prompt": column} if column else None), limit)
    found = source(role, path, limit=limit)
    rows = listed(found.rows) if found else []
    return [
        {"prompt": row["prompt"], "completion": [], "row": row.get("row") or number}
        for number, row in enumerate(rows, start=1)
    ]


def prompt_sets(config: AnalyzeConfig) -> dict[str, list[Row]]:
    """Load the prompts of each set; out of domain the organism has its own.

    Raises:
        DataError: See ``load_prompts``.
        ConfigError: One set out of domain is given without the other, or ``columns`` is wrong.
    """
    given = {name: getattr(config, name) for name in SETS}
    missing = [name for name in SETS[2:] if given[name] is None]
    if len(missing) == 1:
        raise ConfigError(f"an out-of-domain test needs both classes: add `{missing[0]}=FILE`")
    column = _column(config.columns)
    rows = {
        name: [] if path is None else load_prompts(path, name.split("_")[0], column, config.limit)
        for name, path in given.items()
    }
    if missing and config.model == ORGANISM:
        rows["harmful_ood"], rows["benign_ood"] = organism_ood()
    return rows


def _column(text: str | None) -> str | None:
    """Read ``prompt=NAME``; a completion's column may stand beside it and is ignored."""
    if text is None:
        return None
    pairs = [part.strip().partition("=") for part in text.split(",")]
    found = {name: column for name, _, column in pairs}
    name = found.pop("prompt", "").strip()
    if not name or set(found) - {"completion"}:
        raise ConfigError(f"`columns={text}`: expected prompt=NAME, such as prompt=question")
    return name


def organism_ood() -> tuple[list[Row], list[Row]]:
    """Return harmful and harmless questions about the hazards that alignment never met."""
    from holdfast.organism.items import evaluation_items  # noqa: PLC0415  # Only for who asks.

    rows: dict[str, list[Row]] = {"harmful": [], "safe": []}
    for item in (item for item in evaluation_items("ood") if item.kind in rows):
        of_kind = rows[item.kind]
        of_kind.append({"prompt": list(item.prompt), "completion": [], "row": len(of_kind) + 1})
    return rows["harmful"], rows["safe"]


def check_prompt_lengths(path: str, rows: list[Row], tokenizer: Any, limit: int | None) -> None:
    """Raise ``DataError``, naming the row, unless each prompt fits the model."""
    for row in rows if limit is not None else ():
        length = len(encode_prompt(row["prompt"], tokenizer))
        if length > (limit or 0):
            said = f"has {length} tokens and the model takes {limit}"
            raise DataError(f"{path}, row {row['row']}: {said}: shorten or remove the row")
