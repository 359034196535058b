"""Write what was measured: the model or adapter, its tokenizer, and what tells its base."""

from pathlib import Path
from typing import Any

from holdfast.evaluation.drift.probed import carry_probed
from holdfast.inputs.read import Inputs

__all__ = ["save_served"]


def save_served(model: Any, inputs: Inputs, folder: Path) -> None:
    """Write ``model`` as it was measured; beside an adapter lies the mark of its base.

    An adapter's folder also names the end tokens, as a model's does: a server that stops at others
    lets the answers run on.
    """
    model.save_pretrained(folder)
    inputs.examiner.tokenizer.save_pretrained(folder)
    if hasattr(model, "peft_config"):
        inputs.base.save(folder)
        model.get_base_model().generation_config.save_pretrained(folder)
    config: Any = inputs.config
    carry_probed([Path(config.model), getattr(config, "adapter", None)], folder)
