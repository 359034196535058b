"""What decides the answers to attacks, and their verdicts, beside the prompts of the attacks.

Answers that a run left behind when it was stopped are another run's as soon as one of it differs.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.evaluation.redteam import Attacker, Target
from holdfast.files.base_mark import BaseMark
from holdfast.files.once import digest_of, files_below
from holdfast.inputs.configs import EvaluateConfig

__all__ = ["how_answered", "how_judged"]


def how_answered(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Return what decides what the model says, as JSON values."""
    mark = asdict(BaseMark.of(target.model, "")) if target.is_here else config.served
    names = ("model", "revision", "dtype", "quantization", "max_new_tokens", "attack_seed")
    return {
        **{name: getattr(config, name) for name in names},
        "mark": mark,
        # Its scale stands in its configuration, and in none of its weights.
        "adapter": _digest(config.adapter),
        "template": str(getattr(target.tokenizer, "chat_template", None)),
    }


def how_judged(config: EvaluateConfig, attacker: Attacker) -> dict[str, Any]:
    """Return what decides what the judges make of it, and what is kept, as JSON values."""
    items = [[i.id, [dict(m) for m in i.prompt], i.reference] for i in attacker.items]
    return {
        "judges": [judge.name for judge in attacker.judges], "judge": config.judge, "items": items,
        "phrases": _digest(config.refusal_phrases), "show_harmful": config.show_harmful,
    }  # fmt: skip


def _digest(path: Path | None) -> str:
    """Return the SHA-256 of a file, or of all files of a folder; "" where there is none here."""
    return digest_of(files_below(path), path) if path is not None and path.exists() else ""
