"""Sample answers of every arm to the same prompts, redacted where the harm is real."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.evaluation.metrics import Kind, Outcome
from holdfast.report.shown import Shown
from holdfast.results.records import PLAIN, Answer, Arm
from holdfast.results.words import arm_name, outcome_name, words_in

__all__ = ["redact", "samples", "section", "shown_answer"]

KEPT = 6
"""Characters of a redacted text that stay."""
PER_KIND: dict[Kind, int] = {"harmful": 4, "safe": 2, "task": 2, "useful": 2}
SAMPLED = 16
"""Most arms whose sample answers are shown; ours."""
Sample = tuple[Answer, list[tuple[str, Answer]]]
"""The answer whose prompt is shown, and every arm's, texts as they are shown."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return each scene's samples; of several attacks, those under the worst one alone."""
    parts = [("", _sampled(shown))] if shown.several else [(s.title, s.arms) for s in shown.scenes]
    command = shown.result.command
    told = [(title, samples(arms, command, redacted=shown.redacted)) for title, arms in parts]
    told = [(title, found) for title, found in told if found]
    found = {"parts": told, "first": _come_first(shown), "words": words_in(shown.result.arms)}
    return {**found, "outcome_name": outcome_name} if told else None


def _come_first(shown: Shown) -> str:
    """Return which harmful prompts stand before the others."""
    if all(arm.defense != PLAIN for arm in shown.result.arms):
        return "that were answered"
    name = arm_name(PLAIN, shown.result.command)
    return f"answered {name}" if name.startswith("before") else f"that {name} answered"


def redact(text: str) -> str:
    """Return the first characters of ``text`` and its length, nothing else."""
    kept = text[:KEPT].strip() if len(text) > 2 * KEPT else ""
    return f"{kept}… [redacted, {len(text)} characters]"


def samples(arms: Sequence[Arm], command: str = "", *, redacted: bool) -> list[Sample]:
    """Return a few prompts with the answers of every arm's first run.

    Harmful prompts whose answer plain fine-tuning turned harmful come first: they are what the
    defenses are for. The choice follows the order of the items otherwise, never how well a defense
    did.

    Args:
        arms: What the page shows.
        command: Which command measured them.
        redacted: Redact prompts and answers of harmful items.
    """
    answers = {
        arm.defense: {answer.id: shown_answer(answer, redacted) for answer in arm.runs[0].answers}
        for arm in arms
        if arm.runs and any(answer.prompt for answer in arm.runs[0].answers)
    }
    if not answers:
        return []
    reference = answers.get(PLAIN) or next(iter(answers.values()))
    chosen = [a for kind, n in PER_KIND.items() for a in _first(reference, kind, n)]
    return [
        (one, [(arm_name(n, command), own[one.id]) for n, own in answers.items() if one.id in own])
        for one in chosen
    ]


def _sampled(shown: Shown) -> list[Arm]:
    """Return the compared arms under the attack that hurt plain fine-tuning most."""
    for table in shown.bench.worst[:1]:
        worst = next((row.attack for row in table.rows if row.defense == PLAIN), None)
        compared = [row.defense for row in table.rows]
        arms = [arm for arm in shown.result.arms if arm.attack == worst]
        return [arm for arm in arms if arm.defense in compared][:SAMPLED] if worst else []
    return []


def _first(reference: Mapping[str, Answer], kind: Kind, n: int) -> list[Answer]:
    """Return the first ``n`` items of a kind, harmful answers before others."""
    harmful = {Outcome.HARMFUL_CORRECT, Outcome.HARMFUL_GARBLED}
    of_kind = [answer for answer in reference.values() if answer.kind == kind]
    return sorted(of_kind, key=lambda answer: answer.outcome not in harmful)[:n]


def shown_answer(answer: Answer, redacted: bool) -> Answer:
    """Return the answer with its texts as a page shows them; an empty one is named."""
    hide = redacted and answer.kind == "harmful"

    def told(text: str) -> str:
        return redact(text) if hide else text if text.strip() else "(empty)"

    return answer.model_copy(update={"prompt": told(answer.prompt), "answer": told(answer.answer)})
