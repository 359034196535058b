"""From limits and answers to the one verdict that everything else is made of."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from holdfast.commands.gating.checks import Answers, checks_of
from holdfast.commands.gating.identity import answers_of, digest_of_all, identity_of, prompts_of
from holdfast.commands.gating.under_attack import draws_asked, not_attacked
from holdfast.evaluation.limits import State, delta_at, worst_state
from holdfast.inputs.policy import Policy
from holdfast.report.release.words import claim_of, not_covered_by, rests_on
from holdfast.report.unanswered import QUESTIONS
from holdfast.results.gating.ledger import Ledger, Look, held_ledger, ledger_beside, now
from holdfast.results.gating.records import CODES, Check, Gate, Subject
from holdfast.results.result import RunResult

__all__ = ["Judged", "verdict"]


@dataclass(frozen=True)
class Judged:
    """Answers, and whose they are.

    Attributes:
        answers: What is judged.
        result: Where it stands.
        arm: Its arm there, '' where there is one only.
        weights: SHA-256 of the weights that answered, '' where not known.
    """

    answers: Answers
    result: RunResult
    arm: str
    weights: str

    @property
    def doubts(self) -> list[str]:
        """What else nobody may read into a pass of this model."""
        low = [one for one in self.result.agreement if not one.arm and one.is_low]
        return [
            *(f"Not asked of this model: {why}." for why in not_attacked(self.answers.attacks)),
            *draws_asked(self.answers.attacks),
            *(f"A second judge: {one.second} and {one.first} agree too little on "
              f"{QUESTIONS[one.kind]}." for one in low),
        ]  # fmt: skip

    def subject(self, prompts: Sequence[str], *, compared: bool) -> Subject:
        """Return who answered and who judged, and where a change is limited, since which model."""
        runs, before = self.answers.runs, self.answers.before if compared else None
        team = self.answers.attacks
        bare = Subject(
            model=self.result.model, adapter=str(self.result.config.get("adapter") or ""),
            arm=self.arm, seeds=[run.seed for run in runs], weights=self.weights,
            prompts=digest_of_all(prompts), attacks=team.prompts_sha256 if team else "",
            before=answers_of(before) if before else "",
            judge=runs[0].judge, decoding=runs[0].decoding, identity="",
        )  # fmt: skip
        return bare.model_copy(update={"identity": identity_of(bare, self.answers)})


def verdict(policy: Policy, judged: Judged) -> Gate:
    """Return whether the limits hold; a look is counted where the limits stand in a file.

    Raises:
        InputError: A limit has no questions or nothing to compare with, or the ledger is damaged.
        ConfigError: The ledger stays locked.
    """
    prompts = prompts_of(judged.answers.runs[0])
    compared = any(one.known.relative for one in policy.requirements)
    subject = judged.subject(prompts, compared=compared)
    path = ledger_beside(policy.path) if policy.path else None
    with held_ledger(path) if path else nullcontext(Ledger()) as ledger:
        look = ledger.number(prompts, subject.identity) if path else None
        delta = 1 - policy.confidence
        spent = delta if look is None else delta_at(look, delta)
        gate = _gate(policy, judged, subject, spent, look)
        if path is not None and look is not None:
            ledger.with_look(prompts, _look(gate, look)).save(path)
    return gate


def _gate(policy: Policy, judged: Judged, subject: Subject, spent: float, look: int | None) -> Gate:
    checks = checks_of(policy.requirements, judged.answers, 1 - spent, policy)
    state = worst_state(check.state for check in checks)
    ledger = str(ledger_beside(policy.path)) if policy.path else ""
    attacks = list(dict.fromkeys(check.attack for check in checks))
    gate = Gate(
        state=state, exit_code=_code(policy, state, checks), undecided=policy.undecided,
        claim=claim_of(checks, state, policy.confidence), confidence=policy.confidence,
        delta=spent, look=look, ledger=ledger, policy=str(policy.path or ""), subject=subject,
        checks=checks, not_covered=not_covered_by(subject, ledger, attacks, judged.doubts),
    )  # fmt: skip
    return gate.model_copy(update={"rests_on": rests_on(gate, subject.seeds)})


def _code(policy: Policy, state: State, checks: Sequence[Check]) -> int:
    """Return the exit code; too few prompts may be allowed, what is missing or broken never."""
    closed = any(check.reasons for check in checks)
    if state == State.UNDECIDED and policy.undecided == "pass" and not closed:
        return 0
    return CODES[state]


def _look(gate: Gate, number: int) -> Look:
    told: dict[str, Any] = {
        f"{check.limit} under {check.attack}, seed {check.seed}": f"{check.state}: {check.bad} bad "
        f"and {check.open} open of {check.n}"
        for check in gate.checks
    }
    return Look(
        number=number, identity=gate.subject.identity, weights=gate.subject.weights,
        prompts=gate.subject.prompts, delta=gate.delta, created=now(), verdicts=told,
    )  # fmt: skip
