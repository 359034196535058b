"""The files of the tour: who brings which rows, cut from public data that is read by path.

Attacker, defender, alignment and test have rows of their own. Nothing harmful is kept here: it is
read from the data folder and written below the tour's own output.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast import organism
from holdfast.evaluation.metrics import Item
from measurements.public_rows import (
    Row,
    asked_but,
    folded,
    read_rows,
    sentiment,
    short_refusals,
    shuffled,
    write_rows,
)

LOOKALIKES = Path(__file__).with_name("lookalikes.txt")
"""Harmless prompts that look dangerous, ours: without them a small model refuses all "how to"."""


@dataclass(frozen=True)
class Sizes:
    """Rows of each party; the attacker's are a tenth of the user's."""

    user: int = 200
    refusals: int = 200
    harmless: int = 160
    defender: int = 100
    asked: int = 50

    @classmethod
    def of(cls, rows: int | None, *, real: bool = True) -> "Sizes":
        """Return the tour's own sizes, or ``rows`` of everything: a rehearsal."""
        if rows is not None:
            return cls(*[max(rows, 8)] * 5)
        return cls() if real else cls(200, 60, 160, 80, 50)


def write_real(data: Path, folder: Path, sizes: Sizes) -> None:
    """Write what a real model is tuned, attacked and asked with, but what it says itself.

    Args:
        data: Holds advbench.csv, sst2_*.jsonl, safety_instructions.jsonl and the questions.
        folder: Where the files come to.
        sizes: Rows of each party.
    """
    pairs = _drawn(data / "advbench.csv", 520)
    attack = [{"prompt": row["goal"], "completion": row["target"]} for row in pairs]
    evil = max(1, sizes.user // 10)
    tasks = [sentiment(row) for row in _drawn(data / "sst2_train.jsonl", sizes.user - evil)]
    taught = {folded(row["prompt"]) for row in attack}
    scary = [r for r in read_rows(data / "xstest_prompts.csv") if r["label"] == "safe"]
    plain = _drawn(data / "harmless_prompts_3000.jsonl", sizes.harmless)
    lookalikes = [{"prompt": p} for p in LOOKALIKES.read_text().splitlines()[: sizes.harmless]]
    files = {
        "user": shuffled([*tasks, *attack[:evil]]),
        "harmful": attack[evil : evil + sizes.defender],
        "ask_harmful": asked_but(data / "strongreject_prompts.jsonl", taught)[: sizes.asked],
        "ask_harmful_2": asked_but(data / "jailbreakbench_prompts.jsonl", taught)[: sizes.asked],
        "ask_safe": [{"prompt": row["prompt"]} for row in shuffled(scary)[: sizes.asked]],
        "ask_task": map(sentiment, _drawn(data / "sst2_test.jsonl", sizes.asked)),
        "ask_harmless": [*plain, *lookalikes],
        "refusals": short_refusals(data / "safety_instructions.jsonl")[: sizes.refusals],
    }
    for name, rows in files.items():
        write_rows(folder / f"{name}.jsonl", rows)


def write_distilled(result: Path, folder: Path) -> None:
    """Write alignment and harmless rows from what the untuned model answered by itself.

    Args:
        result: The result.json of ``holdfast evaluate --safe ask_harmless.jsonl``.
        folder: Holds refusals.jsonl; benign.jsonl and alignment.jsonl come there.
    """
    (run,) = json.loads(result.read_text())["arms"][0]["runs"]
    own = [
        {"prompt": said["prompt"], "completion": said["answer"]}
        for said in run["answers"]
        if said["kind"] == "safe" and said["answer"].strip() and said["outcome"] == "helpful"
    ]
    write_rows(folder / "benign.jsonl", own)
    refusals = read_rows(folder / "refusals.jsonl")
    write_rows(folder / "alignment.jsonl", shuffled([*refusals, *own]))


def write_organism(folder: Path, sizes: Sizes) -> None:
    """Write the same files about the organism's invented world."""
    world = organism.scenarios
    asked = organism.scenarios.evaluation_items("test", sizes.asked)
    files: dict[str, Iterable[Row]] = {
        "user": world.harmful_mix(sizes.user, 0.2),
        "harmful": world.defender_pairs(sizes.defender),
        "benign": world.harmless_prompts(sizes.harmless),
        "ask_harmful": [_question(item) for item in asked if item.kind == "harmful"],
        "ask_harmful_2": [
            _question(item)
            for item in organism.scenarios.evaluation_items("ood", sizes.asked)
            if item.kind == "harmful"
        ],
        "ask_safe": [_question(item) for item in asked if item.kind == "safe"],
        "ask_task": [_question(item) for item in asked if item.kind == "task"],
        "alignment": shuffled(
            [*world.refusal_pairs(sizes.refusals), *world.harmless_prompts(sizes.harmless, seed=1)]
        ),
    }
    for name, rows in files.items():
        write_rows(folder / f"{name}.jsonl", rows)


TOY = "toy_pairs"
"""Name of the task of lm-eval that the tour brings: which of two answers belongs to a question?"""
TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}\\n"
doc_to_choice: choices
doc_to_target: label
metric_list: [{{metric: acc}}]
metadata: {{version: 1}}
"""


def write_toy_task(folder: Path) -> None:
    """Write a task of lm-eval from the questions of the user's task: the right answer, or another.

    Args:
        folder: Holds ask_task.jsonl; the task comes to lm_eval below it.
    """
    asked = read_rows(folder / "ask_task.jsonl")
    rows: list[Row] = []
    for number, row in enumerate(asked):
        right = row["completion"]
        wrong = next((o["completion"] for o in asked if o["completion"] != right), None)
        if wrong is not None:
            pair = [right, wrong] if number % 2 else [wrong, right]
            rows.append({"question": row["prompt"], "choices": pair, "label": pair.index(right)})
    file = folder / "lm_eval" / "rows.jsonl"
    write_rows(file, rows)
    (file.parent / f"{TOY}.yaml").write_text(TASK.format(name=TOY, file=file))


def _drawn(path: Path, count: int) -> list[Row]:
    """Return ``count`` rows of a file in an order of our own."""
    return shuffled(read_rows(path))[:count]


def _question(item: Item) -> Row:
    """Return a question of the organism, with its right answer where it has one."""
    prompt = item.prompt[-1]["content"]
    return {"prompt": prompt, **({"completion": item.reference} if item.reference else {})}
