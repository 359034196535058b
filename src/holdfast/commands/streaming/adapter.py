"""An adapter in memory on a model whose weights are not."""

import warnings
from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from holdfast.errors import ModelError, reason_of
from holdfast.files.base_mark import BaseMark, refuse_other_base
from holdfast.files.guarded.adapters import WEIGHTS, adapter_config, check_patterns
from holdfast.files.whole_model import refuse_both
from holdfast.inputs.fit.adapters import check_keys, check_rows
from holdfast.inputs.guards.network import local_only
from holdfast.ops.adapter_facts import adaptations

__all__ = ["adapter_alone"]


def adapter_alone(model: Any, base: BaseMark, folder: Path) -> Any:
    """Return ``model``, whose weights lie on ``meta``, with the adapter's own tensors in memory.

    Args:
        model: The bare model.
        base: The mark of its weights.
        folder: The adapter's.

    Raises:
        ModelError: The folder holds no LoRA adapter, it does not fit the model or was trained on
            another one, or it holds what needs the model's weights.
    """
    shown = f"`adapter={folder}`"
    config = adapter_config(folder, shown)
    check_patterns(config, shown, (name for name, _ in model.named_modules()))
    refuse_both(folder, shown)
    refuse_other_base(folder, base, shown)
    check_rows(model, folder, shown)
    try:
        with local_only(), warnings.catch_warnings():
            # What stays empty is an error below, in our words.
            warnings.filterwarnings("ignore", ".*copying from a non-meta parameter")
            adapted = PeftModel.from_pretrained(model, str(folder), low_cpu_mem_usage=True)
            # It was put to where the base is, which holds no values: it is made and read once more.
            for name, module in adapted.named_modules():
                if ".lora_" in name and not any(module.children()):
                    module.to_empty(device="cpu")
            set_peft_model_state_dict(adapted, load_file(folder / WEIGHTS))
    except Exception as error:
        # PEFT raises its own and torch's errors on an adapter of another model.
        raise ModelError(f"{shown}: does not fit the model: {reason_of(error)}") from error
    check_keys(adapted, folder, shown)
    empty = [fact.kind for fact in adaptations(adapted) if any(p.is_meta for p in fact.parameters)]
    if empty:
        raise ModelError(
            f"{shown}: holds {empty[0].value}, which is read onto the model's own weights: leave "
            "`streamed` out, which loads them"
        )
    return adapted
