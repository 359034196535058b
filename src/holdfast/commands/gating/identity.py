"""What tells one look from another: hashes of weights, prompts and every verdict on an answer."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import torch

from holdfast.commands.gating.checks import Answers
from holdfast.evaluation.generate import Engine
from holdfast.results.gating.records import Subject
from holdfast.results.records import SeedRun

__all__ = ["answers_of", "digest_of_all", "identity_of", "prompts_of", "weights_of"]


def weights_of(model: Any) -> str:
    """Return the SHA-256 of a model's parameters and buffers by name, '' where they are not here.

    What is not here: the weights behind a server or engine, and those that lie on no device.
    """
    if isinstance(model, Engine) or not isinstance(model, torch.nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if not isinstance(value, torch.Tensor) or value.is_meta:
            return ""
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        flat = value.detach().contiguous().reshape(-1).cpu()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def prompts_of(run: SeedRun) -> list[str]:
    """Return the first 16 digits of the SHA-256 of each different prompt, sorted.

    Where texts were not kept, ids stand for them.
    """
    told = {(a.kind, " ".join(a.prompt.casefold().split()) or f"\0{a.id}") for a in run.answers}
    return sorted(_hash(one)[:16] for one in told)


def identity_of(subject: Subject, answers: Answers) -> str:
    """Return the SHA-256 of who answered, who judged and what was made of every answer."""
    made = [row for run in answers.runs for row in _made(run)]
    team = answers.attacks
    attacked = {each.attack: dict(each.standings) for each in (team.attacks if team else ())}
    told = subject.model_dump(include={"weights", "prompts", "attacks", "judge", "decoding"})
    # Against another model before, the same answers are another test.
    before = [subject.before] if subject.before else []
    return _hash([told, made, attacked, *before])


def answers_of(run: SeedRun) -> str:
    """Return the SHA-256 of what was made of every answer of a run, and by whom."""
    return _hash([run.judge, run.decoding, _made(run)])


def _made(run: SeedRun) -> list[list[Any]]:
    return [[run.seed, a.kind, a.id, a.outcome, a.refused, a.correct, a.cut] for a in run.answers]


def digest_of_all(prompts: Iterable[str]) -> str:
    """Return one SHA-256 of all prompts."""
    return _hash(sorted(prompts))


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
