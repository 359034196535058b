"""From findings to ``screen.json``: what is to be done with each row, and counts of it all."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.analysis.rows import RowScores
from holdfast.commands.screening.guard import GUARD
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rows import Data
from holdfast.commands.screening.scores import SCORE
from holdfast.data.checks import CHECKS, Context, Finding
from holdfast.data.checks.protocol import ACTIONS, SEVERITIES, Action, Severity
from holdfast.data.checks.texts import answer_of, messages_of
from holdfast.evaluation.judges.content.template import digest
from holdfast.results.provenance import versions
from holdfast.results.screening.file import FoundSpan, Score, ScreenedRow, ScreenFile, ScreenFinding

__all__ = ["Told", "screen_file"]

SHOWN = 300
"""Characters of a row that are shown."""


@dataclass(frozen=True)
class Told:
    """All that a screening found."""

    data: Data
    findings: Sequence[Finding]
    context: Context
    unchecked: Mapping[str, str]
    notes: Sequence[str]
    scores: RowScores | None = None


def screen_file(config: ScreenConfig, told: Told) -> ScreenFile:
    """Return the document of a screening."""
    data, findings, context, scores = told.data, told.findings, told.context, told.scores
    ids = {row["row"]: row.get("id") for row in data.looked_at}
    rows = _rows(findings, ids, _components(told))
    texts = {row["row"]: row for row in data.looked_at} if config.show else {}
    template = getattr(context.tokenizer, "chat_template", None)
    return ScreenFile(
        holdfast=versions().get("holdfast", ""),
        path=config.file,
        sha256=data.sha256,
        rows=len(data.examples),
        unreadable=sorted(data.bad),
        sampled=len(data.looked_at) if config.sample is not None else None,
        model=config.model,
        template_sha256=digest(template) if isinstance(template, str) else None,
        max_length=context.max_length,
        guard=config.guard,
        unchecked=dict(told.unchecked),
        counts=_counts(findings, rows, len(data.looked_at) + len(data.bad)),
        calibration=None if scores is None else scores.label,
        scores={} if scores is None else _sets(scores),
        notes=[*told.notes, *(() if scores is None else scores.notes)],
        screened=rows,
        findings=[_finding(each, texts) for each in findings],
    )


def _components(told: Told) -> dict[int, dict[str, Score]]:
    """Return each row's scores by component."""
    if told.scores is None:
        return {}
    named = [row["row"] for row in told.data.looked_at]
    return {
        number: {name: Score(**score) for name, score in told.scores.row(at).items()}
        for at, number in enumerate(named)
    }


def _sets(scores: RowScores) -> dict[str, Any]:
    return {
        name: {
            "value": one.value, "above": one.above, "percentile": one.percentile,
            "references": dict(one.references), "label": scores.labels.get(name, scores.label),
        }
        for name, one in scores.sets.items()
    }  # fmt: skip


def _rows(
    findings: Iterable[Finding], ids: Mapping[int, Any], scores: Mapping[int, dict[str, Score]]
) -> list[ScreenedRow]:
    by_row: dict[int, list[Finding]] = {row: [] for row in scores}
    for each in findings:
        if each.row is not None and (each.severity, each.action) != ("note", "keep"):
            by_row.setdefault(each.row, []).append(each)
    return [
        ScreenedRow(
            row=row,
            id=ids.get(row),
            action=_most(ACTIONS, {each.action for each in found} or {"keep"}),
            severity=_most(SEVERITIES, {each.severity for each in found} or {None}),
            checks=list(dict.fromkeys(each.check for each in found)),
            components=scores.get(row, {}),
        )
        for row, found in sorted(by_row.items())
    ]


def _most(order: Sequence[Any], given: Collection[Any]) -> Any:
    return max(given, key=lambda one: -1 if one is None else order.index(one))


def _counts(
    findings: Sequence[Finding], rows: Sequence[ScreenedRow], total: int
) -> dict[str, dict[str, int]]:
    """Return rows by action, severity and check; a finding on the whole set counts as one."""
    actions = dict.fromkeys(map(str, ACTIONS), 0)
    severities = dict.fromkeys(map(str, SEVERITIES), 0)
    for row in rows:
        actions[row.action] += 1
        if row.severity is not None:
            severities[row.severity] += 1
    actions["keep"] += total - len(rows)
    held: dict[str, set[int | None]] = {name: set() for name in (*CHECKS.all(), GUARD, SCORE)}
    for each in findings:
        if each.row is not None or each.severity != "note":
            held[each.check].add(each.row)
        if each.row is None and each.severity != "note":
            severities[each.severity] += 1
    checks = {name: len(rows_of - {None}) or len(rows_of) for name, rows_of in held.items()}
    return {"action": actions, "severity": severities, "check": checks}


def _finding(each: Finding, texts: Mapping[int, Mapping[str, Any]]) -> ScreenFinding:
    span = each.span
    action: Action = each.action
    severity: Severity = each.severity
    return ScreenFinding(
        check=each.check, row=each.row, severity=severity, action=action, reason=each.reason,
        span=None if span is None else FoundSpan(**vars(span)),
        text=_text(each, texts.get(each.row)) if each.row is not None else None,
    )  # fmt: skip


def _text(each: Finding, row: Mapping[str, Any] | None) -> str | None:
    """Return what stands where something was found, cut; None where it is not shown."""
    if row is None:
        return None
    if each.span is None:
        return answer_of(row)[:SHOWN]
    content = messages_of(row)[each.span.message]["content"]
    return content[each.span.start : each.span.end][:SHOWN]
