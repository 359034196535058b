"""What decides the answers to attacks, and their verdicts, beside the prompts of the attacks.

Answers that a run left behind when it was stopped are another run's as soon as one of it differs.
"""

from pathlib import Path
from typing import Any

from holdfast.commands.tune_settings import model_content
from holdfast.evaluation.decoding import recorded
from holdfast.evaluation.redteam import Attacker, Target
from holdfast.files.once import digest_of, files_below
from holdfast.inputs.configs import EvaluateConfig

__all__ = ["how_answered", "how_judged"]


def how_answered(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Return what decides what the model says, as JSON values."""
    names = ("model", "revision", "dtype", "quantization", "max_new_tokens", "attack_seed")
    return {
        **{name: getattr(config, name) for name in names},
        **_content(config, target),
        # Its scale stands in its configuration, and in none of its weights.
        "adapter": _digest(config.adapter),
    }


def _content(config: EvaluateConfig, target: Target) -> dict[str, Any]:
    """Return what the model is, by more than its name: of one that a server has, its address."""
    if config.served is not None:
        return {"served": config.served}
    if not target.is_here:
        return {"files": _digest(Path(config.model))}
    model, tokenizer = target.model, target.tokenizer
    decoding = recorded(model, tokenizer, config.max_new_tokens)
    found = {**model_content(model, tokenizer), "decoding": decoding}
    if any(p.is_meta for p in model.parameters()):  # The bits of what lies on the disk are there.
        found["files"] = _digest(Path(config.model))
    return found


def how_judged(config: EvaluateConfig, attacker: Attacker) -> dict[str, Any]:
    """Return what decides what the judges make of it, and what is kept, as JSON values."""
    items = [[i.id, [dict(m) for m in i.prompt], i.reference] for i in attacker.items]
    return {
        "judges": [judge.name for judge in attacker.judges], "judge": config.judge, "items": items,
        "phrases": _digest(config.refusal_phrases), "show_harmful": config.show_harmful,
        "folders": [_folders(judge) for judge in attacker.judges],
    }  # fmt: skip


def _folders(judge: Any) -> list[str]:
    """Return the hashes of the folders that a judge reads its model from.

    One of another package may have its model itself by that name: its version tells of it.
    """
    given = (getattr(judge, name, None) for name in ("model", "adapter"))
    return [
        _digest(Path(each) if isinstance(each, str | Path) and each else None) for each in given
    ]


def _digest(path: Path | None) -> str:
    """Return the SHA-256 of a file, or of all files of a folder; "" where there is none here."""
    return digest_of(files_below(path), path) if path is not None and path.exists() else ""
