"""An adapter in memory on a model whose weights are not."""

import shutil
from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file

from holdfast.errors import ModelError, reason_of
from holdfast.files.base_mark import MARK
from holdfast.files.guarded.adapters import WEIGHTS, adapter_config, check_patterns
from holdfast.files.whole_model import refuse_both
from holdfast.inputs.fit.adapters import check_keys, check_rows
from holdfast.inputs.guards.network import local_only

__all__ = ["adapter_alone", "keep_mark"]


def adapter_alone(model: Any, folder: Path) -> Any:
    """Return ``model``, whose weights lie on ``meta``, with the adapter's own tensors in memory.

    Raises:
        ModelError: The folder holds no LoRA adapter, or it does not fit the model.
    """
    shown = f"`adapter={folder}`"
    config = adapter_config(folder, shown)
    check_patterns(config, shown, (name for name, _ in model.named_modules()))
    refuse_both(folder, shown)
    check_rows(model, folder, shown)
    try:
        with local_only():
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
    return adapted


def keep_mark(folder: Path, target: Path) -> None:
    """Write the mark of the adapter's base beside the repaired one, where there is one."""
    if (folder / MARK).is_file():
        shutil.copyfile(folder / MARK, target / MARK)
