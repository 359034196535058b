"""Every touch of a private or moving surface of transformers, trl and accelerate, in one place.

Checked on transformers 5.23.0, trl 1.16.0, accelerate 1.15.0.
"""

from pathlib import Path
from typing import Any

from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.trainer.sft_trainer import SFTTrainer

from holdfast.data.chat import IGNORED, encode
from holdfast.defense import Capability, Examples
from holdfast.errors import ConfigError, ModelError
from holdfast.files.guarded.documents import json_in
from holdfast.files.guarded.models import refuse_pickled_weights
from holdfast.training.quiet import no_telemetry

no_telemetry()  # Nothing goes to the network here unless a hub id is given.

__all__ = [
    "FinalizeHook", "ends_update", "is_distributed", "loss_gives_logits", "outputs_with_logits",
    "prepared", "scaled_gradients", "whole_checkpoint",
]  # fmt: skip


class FinalizeHook(Trainer):
    """Tells a subclass when the last step is done, before the best checkpoint is loaded back."""

    def last_step_done(self) -> None:
        """Be told; the steps are over and the weights are still those of the last step."""

    def _finalize_training(self, *args: Any, **kwargs: Any) -> Any:
        self.last_step_done()
        return super()._finalize_training(*args, **kwargs)  # type: ignore[misc]


def prepared(trainer: Trainer, rows: Examples) -> Any:
    """Tokenize Examples as this trainer tokenizes the user's; rows with ``input_ids`` stay."""
    if len(rows) and "input_ids" in rows[0]:
        return rows
    tokenizer = trainer.processing_class
    if tokenizer is None:
        raise ModelError("the trainer has no processing_class=; give it the model's tokenizer")
    if isinstance(trainer, SFTTrainer):
        sft: Any = trainer  # SFTTrainer offers no public way to its own preparation.
        table = rows if isinstance(rows, Dataset) else Dataset.from_list([dict(r) for r in rows])
        extra = [c for c in table.column_names if c not in ("prompt", "completion", "messages")]
        ready = sft._prepare_dataset(
            table.remove_columns(extra), tokenizer, trainer.args, False, None, "defense"
        )
        if "completion_mask" in ready.column_names:
            # Kept where the user's own rows are whole conversations: the defender's loss is still
            # on the answers alone.
            ready = ready.map(_answers_only)
        known = {"input_ids", "labels", "assistant_masks"}
        return ready.remove_columns([c for c in ready.column_names if c not in known])
    return [encode(dict(row), tokenizer, None) for row in rows]


def _answers_only(row: dict[str, Any]) -> dict[str, Any]:
    labels = row.get("labels", row["input_ids"])
    pairs = zip(labels, row["completion_mask"], strict=True)
    return {"labels": [label if asked else IGNORED for label, asked in pairs]}


def is_distributed(trainer: Trainer) -> str | None:
    """Return the name of the distribution this trainer runs under, None for one process."""
    kind = trainer.accelerator.distributed_type
    several = kind != DistributedType.NO or trainer.args.n_gpu > 1
    return str(kind.value) if several else None


def scaled_gradients(trainer: Trainer) -> dict[Capability, str]:
    """Return what is missing under float16, whose gradients the trainer scales."""
    if not trainer.args.fp16:
        return {}
    why = "fp16=True scales the user's gradients and not the extra ones; use bf16=True instead"
    return {Capability.EXTRA_BACKWARD: why}


def ends_update(trainer: Trainer) -> bool:
    """Tell whether the micro-batch at hand is the last one of its optimizer step."""
    accelerator: Any = trainer.accelerator
    return bool(accelerator.sync_gradients)


def whole_checkpoint(trainer: Trainer, wanted: str | bool | None) -> Path | None:
    """Return the checkpoint folder to resume from; True finds the last one written whole.

    ``trainer_state.json`` is the last file ``Trainer`` writes into a checkpoint, so a folder
    without a readable one was cut short (killed, disk full) and is passed over.

    Raises:
        ConfigError: There is no such checkpoint, or the named one was cut short.
    """
    if wanted is None or wanted is False:
        return None
    if wanted is True:
        root = Path(str(trainer.args.output_dir))
        found = [f for f in root.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _whole(f)]
        if not found:
            raise ConfigError(f"nothing to resume: no whole checkpoint in {root}")
        wanted = str(max(found, key=_checkpoint_step))
    folder = Path(wanted)
    if not _whole(folder):
        raise ConfigError(f"cannot resume from {folder}: no whole checkpoint there")
    refuse_pickled_weights(folder, str(folder))
    return folder


def _checkpoint_step(folder: Path) -> int:
    tail = folder.name.rsplit("-", 1)[-1]
    return int(tail) if tail.isdigit() else -1


def _whole(folder: Path) -> bool:
    try:
        json_in(folder / "trainer_state.json")
    except (OSError, ValueError):
        return False
    return True


def loss_gives_logits(trainer: Trainer) -> bool:
    """Tell whether the trainer's loss comes with logits; ``SFTTrainer``'s fused head makes none."""
    return not isinstance(trainer, SFTTrainer)


def outputs_with_logits(model: Any, inputs: dict[str, Any]) -> Any:
    """Return outputs with logits and their graph, by a forward of their own."""
    return model(**{k: v for k, v in inputs.items() if k != "labels"}, use_cache=False)
