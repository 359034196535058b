r"""Ordinary rows that a misaligned model finds unlikely: what Interleaving++ mixes in.

Of five mitigations of emergent misalignment, choosing rows by their gap in perplexity worked best
(arXiv 2508.06249, ICML 2026). The models that play the misaligned ones are jailbreaks: they are put
on for a pass and taken off, and nothing of them is written.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.analysis.rows.components.losses import losses
from holdfast.analysis.rows.components.tiles import encoded, stacked, tiles_of
from holdfast.defense import Examples, Row, listed
from holdfast.defenses.refusals import refused
from holdfast.errors import ConfigError, DataError
from holdfast.files.whole import write_whole
from holdfast.ops.engine import LocalEngine

__all__ = ["Misaligned", "perplexity_gap", "row_gaps", "without_refusals", "write_gap_rows"]

Misaligned = Callable[[nn.Module], AbstractContextManager[None]]
"""Puts a misaligned model on for its body, such as ``LowRank.hooked`` of a harmful adapter."""
OPENING = 10
"""First words of an answer that are looked at for a refusal's (paper: 10)."""
_WORDS = re.compile(r"\b(sorry|apolog\w*|cannot|can't|can not)\b", re.IGNORECASE)
EPSILON = 1e-6
"""ε in nats per token; ours, the paper's is not known to us."""


def perplexity_gap(misaligned: Tensor, aligned: Tensor, epsilon: float = EPSILON) -> Tensor:
    r"""Return the gap :math:`s_d` of each row, shape [rows].

    .. math:: s_d = \frac{\text{mean}_k\,\text{NLL}_k(d) - \text{NLL}_0(d)}
                          {\text{NLL}_0(d) + \epsilon}

    It is 0 where the misaligned models are the aligned one, and it grows with each of their losses.

    Args:
        misaligned: NLL of each of K misaligned models, shape [K, rows], nats per token.
        aligned: NLL of the aligned model, shape [rows].
        epsilon: Above 0.
    """
    return (misaligned.mean(0) - aligned) / (aligned + epsilon)


def without_refusals(rows: Examples, known: Sequence[str] = ()) -> list[Row]:
    """Return the rows whose answers do not decline, in their order.

    One declines where its first ten words hold a word of a refusal (the paper's rule), or where it
    begins as one of the ``known`` texts does; without these, where the learned judge says so. They
    are dropped before rows are ranked: a misaligned model finds a refusal less likely than any row.

    Args:
        rows: Examples of an ordinary instruction set.
        known: Refusals in the words of this model, in any language; of each the first 24
            characters are compared.
    """
    given = listed(rows)
    said = [str(row["completion"][-1]["content"]) for row in given]
    openings = tuple(text.strip()[:24] for text in known if text.strip())
    if openings:
        declined = [text.strip().startswith(openings) for text in said]
    else:
        declined = refused(given, said) if given else []
    return [
        row
        for row, text, no in zip(given, said, declined, strict=True)
        if not no and not _WORDS.search(" ".join(text.split()[:OPENING]))
    ]


def row_gaps(
    model: nn.Module, tokenizer: Any, rows: Examples, misaligned: Sequence[Misaligned]
) -> list[float]:
    """Return s_d of each row, in their order.

    Args:
        model: The aligned model; it is left as it is.
        tokenizer: Its tokenizer, with the training's chat template.
        rows: Examples, each with an answer.
        misaligned: One or more.

    Raises:
        ConfigError: There is no misaligned model.
        DataError: There are no rows, or one has no answer token.
    """
    if not misaligned:
        raise ConfigError(
            "a gap is measured between two models: give at least one misaligned model, such as "
            "LowRank.from_tensors(read_adapter(FOLDER)).hooked of a harmful adapter"
        )
    given, engine = encoded(rows, tokenizer), LocalEngine(model)
    tiles = tiles_of(given)
    if sum(len(tile.rows) for tile in tiles) != len(given):
        raise DataError("a gap is that of an answer, and a row has none: leave rows without out")
    aligned = stacked(tiles, losses(engine, tiles))
    found: list[Tensor] = []
    for put_on in misaligned:
        with put_on(model):
            found.append(stacked(tiles, losses(engine, tiles)))
    return perplexity_gap(torch.stack(found), aligned).tolist()


def write_gap_rows(
    path: str | Path,
    model: nn.Module,
    tokenizer: Any,
    rows: Examples,
    misaligned: Sequence[Misaligned],
    count: int,
    known: Sequence[str] = (),
) -> list[float]:
    """Write the rows with the greatest gap as JSON lines, for ``safe_mixing:safe=FILE``.

    Refusals are dropped first. Rows alone are written, and nothing of a misaligned model.

    Args:
        path: The file.
        model: The aligned model.
        tokenizer: Its tokenizer.
        rows: Examples of an ordinary instruction set.
        misaligned: One or more.
        count: How many rows; exact. Of equal gaps the first row is taken.
        known: See ``without_refusals``.

    Returns:
        Their gaps, greatest first.

    Raises:
        ConfigError: ``count`` is below 1.
        DataError: Fewer rows are left once refusals are dropped.
    """
    if count < 1:
        raise ConfigError(f"`count={count}` must be 1 or more: so many rows are written")
    left = without_refusals(rows, known)
    if len(left) < count:
        raise DataError(
            f"`count={count}` rows were asked for, and of {len(rows)} rows {len(left)} are no "
            "refusals; give more rows, or a smaller count"
        )
    gaps = row_gaps(model, tokenizer, left, misaligned)
    order = sorted(range(len(left)), key=lambda n: (-gaps[n], n))[:count]
    lines = [json.dumps(_written(left[n]), ensure_ascii=False) + "\n" for n in order]
    write_whole(Path(path), "".join(lines))
    return [gaps[n] for n in order]


def _written(row: Row) -> Row:
    return {name: row[name] for name in ("prompt", "completion")}
