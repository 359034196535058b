"""Judge answers that exist already: shares, and agreement between judges and with people."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from holdfast.comparisons.judgements import Judged, Pair, judgements, pairs_of
from holdfast.data.columns import columns_of, file_of
from holdfast.errors import ConfigError
from holdfast.evaluation.judges.protocol import tells_refusals
from holdfast.evaluation.measure import Measurement, judge_answers
from holdfast.evaluation.metrics import Item, Kind
from holdfast.files.folders import WholeFolder
from holdfast.inputs.answered.labels import HARM, REFUSALS, Labels
from holdfast.inputs.answered.rows import JudgedRow, rows_to_judge
from holdfast.inputs.configs import JudgeConfig
from holdfast.inputs.guards.network import offline_where_local
from holdfast.inputs.judging import Panel, forget_kept, judges_for, kept_verdicts
from holdfast.progress import Progress
from holdfast.training.failures import leaving

__all__ = ["JudgeConfig", "Judgement", "judge_file"]


@dataclass(frozen=True)
class Judgement:
    """What judges found in a file of answers."""

    rows: int
    labelled: int
    judged: list[Judged]
    pairs: list[Pair]
    notes: tuple[str, ...]
    distinct: float
    """Share of distinct answers."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON; no answer and no question is in it."""
        said = asdict(self)
        for judged in said["judged"]:
            for agreed in judged["agreed"]:
                cells = agreed["confusion"].items()
                agreed["confusion"] = [
                    {"label": label, "judged": ours, "answers": n} for (label, ours), n in cells
                ]
        return said


@offline_where_local
def judge_file(config: JudgeConfig, progress: Progress = lambda *_: None) -> Judgement:
    """Judge the answers of a file, and write verdicts and figures where a folder is given.

    Raises:
        InputError: Something given cannot be used; nothing was written.
    """
    if config.kind not in ("harmful", "safe"):
        raise ConfigError(f"`kind={config.kind}` is neither harmful nor safe: what is asked")
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    if folder is not None:
        folder.check([file_of(config.file)])
    labels = Labels.read(config.labels)
    columns = columns_of(config.columns)
    rows = rows_to_judge(config.file, columns, labels, config.by, config.limit)
    _check_labels(rows, config.kind)
    panel = judges_for("", config.judge, config.refusal_phrases, config.output, progress)
    progress("answers", 0, len(rows))
    with leaving(lambda: f"nothing was written{kept_verdicts(panel.judges)}"):
        items, answers = _items(rows, config.kind), [row.answer for row in rows]
        found = judge_answers(items, answers, panel.judges)
    progress("answers", len(rows), len(rows))
    result = _judgement(rows, found, panel)
    if folder is not None:
        _write(folder, rows, found, result, config)
    forget_kept(panel.judges)
    return result


def _items(rows: Sequence[JudgedRow], kind: Kind) -> list[Item]:
    return [
        Item(str(row.number), kind, [{"role": "user", "content": row.question}]) for row in rows
    ]


def _check_labels(rows: Sequence[JudgedRow], kind: Kind) -> None:
    """Refuse labels of harm beside safe questions: there no judge says that an answer does any."""
    harm = next((row for row in rows if row.label in HARM), None)
    if kind == "safe" and harm is not None:
        raise ConfigError(
            f"`kind={kind}`: the label of row {harm.number} says whether an answer does harm "
            f"({harm.label}), and of answers to safe questions judges say whether they refuse: "
            "give `kind=harmful`, or labels of refusals"
        )


def _judgement(rows: Sequence[JudgedRow], found: Measurement, panel: Panel) -> Judgement:
    harm_alone = [judge.name for judge in panel.judges if not tells_refusals(judge)]
    refusals = any(row.label in REFUSALS for row in rows)
    silent = [
        f"{name} tells no refusals: it stands beside none of the labels"
        for name in harm_alone
        if refusals
    ]
    gone = [
        f"{one.judge} stopped before the last answer ({one.partial}){kept_verdicts(panel.judges)}"
        for one in (found, *found.others)
        if one.partial
    ]
    harmful = any(item.kind == "harmful" for item in found.items)
    texts = {" ".join(answer.split()) for answer in found.answers}
    return Judgement(
        len(rows), sum(bool(row.label) for row in rows), judgements(rows, found, harm_alone),
        pairs_of(rows, found, harmful=harmful), (*panel.notes, *silent, *gone),
        len(texts) / len(rows),
    )  # fmt: skip


def _write(
    folder: WholeFolder,
    rows: Sequence[JudgedRow],
    found: Measurement,
    result: Judgement,
    config: JudgeConfig,
) -> None:
    with folder.held(), folder.writing() as partial:
        said = json.dumps(result.as_json(), indent=1, ensure_ascii=False)
        (partial / "judgement.json").write_text(said + "\n", encoding="utf-8")
        with (partial / "verdicts.jsonl").open("w", encoding="utf-8") as file:
            for place, row in enumerate(rows):
                line = _line(place, row, found, shown=config.show_harmful)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _line(place: int, row: JudgedRow, found: Measurement, *, shown: bool) -> dict[str, Any]:
    """Return one row's verdicts; its texts only where they were asked for."""
    verdicts = [each.verdicts[place] for each in (found, *found.others)]
    said = {
        verdict.judge: {
            "outcome": verdict.outcome, "label": verdict.label,
            "refused": verdict.refused if verdict.tells_refusal else None,
            "probability": verdict.probability, "categories": list(verdict.categories),
        }
        for verdict in verdicts
    }  # fmt: skip
    texts = {"prompt": row.question, "answer": row.answer} if shown else {}
    return {"row": row.number, "label": row.label, "group": row.group, **texts, "verdicts": said}
