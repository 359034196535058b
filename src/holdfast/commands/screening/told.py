"""From findings to ``screen.json``: what is to be done with each row, and counts of it all."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from holdfast.commands.screening.guard import GUARD
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rows import Data
from holdfast.data.checks import CHECKS, Context, Finding
from holdfast.data.checks.protocol import ACTIONS, SEVERITIES, Action, Severity
from holdfast.data.checks.texts import answer_of, messages_of
from holdfast.evaluation.judges.content.template import digest
from holdfast.results.provenance import versions
from holdfast.results.screening.file import FoundSpan, ScreenedRow, ScreenFile, ScreenFinding

__all__ = ["screen_file"]

SHOWN = 300
"""Characters of a row that are shown."""


def screen_file(
    config: ScreenConfig,
    data: Data,
    findings: Sequence[Finding],
    context: Context,
    unchecked: Mapping[str, str],
    notes: Sequence[str],
) -> ScreenFile:
    """Return the document of a screening."""
    ids = {row["row"]: row.get("id") for row in data.looked_at}
    rows = _rows(findings, ids)
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
        unchecked=dict(unchecked),
        counts=_counts(findings, rows, len(data.looked_at) + len(data.bad)),
        notes=list(notes),
        screened=rows,
        findings=[_finding(each, texts) for each in findings],
    )


def _rows(findings: Iterable[Finding], ids: Mapping[int, Any]) -> list[ScreenedRow]:
    by_row: dict[int, list[Finding]] = defaultdict(list)
    for each in findings:
        if each.row is not None and (each.severity, each.action) != ("note", "keep"):
            by_row[each.row].append(each)
    return [
        ScreenedRow(
            row=row,
            id=ids.get(row),
            action=_most(ACTIONS, {each.action for each in found}),
            severity=_most(SEVERITIES, {each.severity for each in found}),
            checks=list(dict.fromkeys(each.check for each in found)),
        )
        for row, found in sorted(by_row.items())
    ]


def _most(order: Sequence[Any], given: Collection[Any]) -> Any:
    return max(given, key=order.index)


def _counts(
    findings: Sequence[Finding], rows: Sequence[ScreenedRow], total: int
) -> dict[str, dict[str, int]]:
    """Return rows by action, severity and check; a finding on the whole set counts as one."""
    actions = dict.fromkeys(map(str, ACTIONS), 0)
    severities = dict.fromkeys(map(str, SEVERITIES), 0)
    for row in rows:
        actions[row.action] += 1
        severities[row.severity or "note"] += 1
    actions["keep"] += total - len(rows)
    held: dict[str, set[int | None]] = {name: set() for name in (*CHECKS.all(), GUARD)}
    for each in findings:
        if each.row is not None or each.severity != "note":
            held[each.check].add(each.row)
        if each.row is None and each.severity != "note":
            severities[each.severity] += 1
    checks = {name: len(rows_of) for name, rows_of in held.items()}
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
