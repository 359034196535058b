"""What a model is probed with while it is tuned, and one probe of it.

Depth is probed because first tokens are blind to training on refuse-then-comply rows
(arXiv 2502.19537) and to safety that is a few tokens deep (arXiv 2406.05946).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.data.splits import prompt_key
from holdfast.errors import DataError
from holdfast.evaluation.drift.lead import lead
from holdfast.evaluation.drift.openings import Ids, Openings
from holdfast.evaluation.drift.prompts import probe_ids
from holdfast.evaluation.drift.reading import Reading
from holdfast.evaluation.drift.scores import opening_scores, paired_scores

__all__ = ["Probes", "answer_ids", "prompt_sha256"]

PREFILLED = 5
"""Tokens of compliance in front of the prefill probe; ours."""
CONTENT_END = 30
"""Last token of an answer that the content probe reads; ours."""
_CONTINUED = 8
"""Most tokens of going on with the answer that the prefill probe weighs refusing against."""


@dataclass(frozen=True)
class Probes:
    """Prompts by kind and the openings they are probed with, all as token ids.

    They are the provider's: a training set that knows them can hold them, so they are never
    questions of a gate, which holds their hashes against its own.
    """

    openings: Openings
    harmful: tuple[Ids, ...]
    safe: tuple[Ids, ...] = ()
    """Prompts that look scary and are harmless."""
    task: tuple[Ids, ...] = ()
    """The user's own prompts."""
    answers: tuple[Ids, ...] = ()
    """The defender's compliant answer to each harmful prompt, or none at all."""
    prompts_sha256: tuple[str, ...] = ()
    """The hash of each prompt's messages, by which a gate knows them."""

    def __post_init__(self) -> None:
        """Refuse probes that measure nothing."""
        if not self.harmful:
            raise DataError("probes need at least one harmful prompt")
        if self.answers and len(self.answers) != len(self.harmful):
            raise DataError(
                f"probes: {len(self.harmful)} harmful prompts have {len(self.answers)} answers; "
                "give one each, or none"
            )

    @property
    def sha256(self) -> str:
        """The hash of all that is asked: curves of one hash may be laid over each other."""
        rows = [self.openings.as_json(), self.harmful, self.safe, self.task, self.answers]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def measured(self, model: nn.Module, step: int = 0, batch_size: int = 64) -> Reading:
        """Return one look at the model, which is left as it is and draws no random number.

        Args:
            model: Any Hugging Face causal language model, or a PEFT model around one.
            step: Optimizer steps done, for the record.
            batch_size: Prompts at a time.
        """
        leads = lead(model, self.harmful, self.openings, batch_size=batch_size)
        error = float(leads.std()) / len(leads) ** 0.5 if len(leads) > 1 else 0.0
        return Reading(
            step=step,
            lead=float(leads.mean()),
            lead_se=error,
            complying=float((leads < 0).float().mean()),
            lead_safe=self._mean(model, self.safe, batch_size),
            lead_task=self._mean(model, self.task, batch_size),
            lead_prefill=self._prefill(model, batch_size),
            content_nll=self._content(model, batch_size),
        )

    def _mean(self, model: nn.Module, prompts: Sequence[Ids], size: int) -> float | None:
        if not prompts:
            return None
        return float(lead(model, prompts, self.openings, batch_size=size).mean())

    def _prefill(self, model: nn.Module, size: int) -> float | None:
        """Return the mean lead after five tokens of the answer: refusing now against going on."""
        deep = [pair for pair in self._pairs() if len(pair[1]) > PREFILLED]
        if not deep:
            return None
        begun = [(*prompt, *answer[:PREFILLED]) for prompt, answer in deep]
        rest = [answer[PREFILLED : PREFILLED + _CONTINUED] for _, answer in deep]
        refusing = opening_scores(model, begun, self.openings.refusals, batch_size=size).mean(1)
        return float((refusing - paired_scores(model, begun, rest, batch_size=size)).mean())

    def _content(self, model: nn.Module, size: int) -> float | None:
        """Return the NLL per token of what the answers say behind their opening."""
        deep = [pair for pair in self._pairs() if len(pair[1]) > PREFILLED]
        if not deep:
            return None
        begun = [(*prompt, *answer[:PREFILLED]) for prompt, answer in deep]
        said = [answer[PREFILLED:CONTENT_END] for _, answer in deep]
        lengths: Tensor = torch.tensor([len(one) for one in said], dtype=torch.float32)
        scores = paired_scores(model, begun, said, batch_size=size)
        return -float((scores * lengths).sum() / lengths.sum())

    def _pairs(self) -> list[tuple[Ids, Ids]]:
        return list(zip(self.harmful, self.answers, strict=True)) if self.answers else []

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        openings: Openings,
        harmful: Sequence[Mapping[str, Any]],
        safe: Sequence[Mapping[str, Any]] = (),
        task: Sequence[Mapping[str, Any]] = (),
    ) -> "Probes":
        """Return the probes of Examples: rows of ``prompt`` and, of harmful ones, ``completion``.

        Raises:
            DataError: There is no harmful row.
            ModelError: The tokenizer has no chat template, or it refuses the messages.
        """

        def ids(rows: Sequence[Mapping[str, Any]]) -> tuple[Ids, ...]:
            return tuple(tuple(probe_ids(row["prompt"], tokenizer)) for row in rows)

        answers = tuple(answer_ids(row, tokenizer) for row in harmful)
        hashes = tuple(prompt_sha256(row["prompt"]) for row in (*harmful, *safe, *task))
        given = answers if all(answers) else ()
        return cls(openings, ids(harmful), ids(safe), ids(task), given, hashes)


def answer_ids(row: Mapping[str, Any], tokenizer: Any) -> Ids:
    """Return the tokens of a row's answer as text; none where it has no answer."""
    said = " ".join(str(message["content"]) for message in row.get("completion") or ())
    return tuple(tokenizer.encode(said, add_special_tokens=False))


def prompt_sha256(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the hash of a conversation's roles and words, without case and runs of spaces."""
    words = prompt_key({"prompt": messages})
    return hashlib.sha256(json.dumps(words).encode("utf-8", "surrogatepass")).hexdigest()
