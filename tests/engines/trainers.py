"""Trainers of the engine matrix: one tiny Llama, tuned whole, by LoRA, and by LoRA beside 4 bits.

Whole tuning goes through ``Trainer``, adapters through ``SFTTrainer``, so that each trainer is
there. The width is 64: the processor's kernel of 4 bits wants whole blocks of 64 columns.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM, LlamaConfig, TrainingArguments
from trl.trainer.sft_config import SFTConfig

from holdfast.data.chat import collate, encode
from holdfast.defense import Defense
from holdfast.inputs.loading.placement import Placement
from holdfast.inputs.models import load_model
from holdfast.organism.scenarios import harmless_prompts
from holdfast.testing.runs import Weights, new_folder, require, tokenizer
from holdfast.training.sft_options import lora
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer
from tests.contract.recipes import Recipe, recipes

__all__ = [
    "BATCH", "ROWS", "STEPS", "TUNINGS", "Ran", "Tuning", "attention_of", "engine_recipes",
    "floats", "new_model", "new_trainer", "run",
]  # fmt: skip


Tuning = Literal["lora", "full", "qlora"]
TUNINGS: tuple[Tuning, ...] = ("lora", "full", "qlora")
Change = Callable[[Any], Any]
_SCRATCH = tempfile.TemporaryDirectory(prefix="holdfast-engines-")
STEPS, BATCH, ROWS = 4, 4, 12
_TARGETS = "q_proj,v_proj,down_proj"

USUAL: dict[str, Any] = {
    "max_steps": STEPS, "per_device_train_batch_size": BATCH, "learning_rate": 1e-2,
    # No clipping, and an epsilon as large as gradients here: a wrong scale must move the weights,
    # and a rounding must not. Adam's own step is blind to a scale and blows roundings up.
    "max_grad_norm": 0.0, "adam_epsilon": 1e-2, "weight_decay": 0.0,
    "train_sampling_strategy": "sequential",
    "logging_steps": 1, "save_strategy": "no", "seed": 3, "report_to": "none",
    "disable_tqdm": True, "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
}  # fmt: skip
"""Options of every run of the matrix; a column changes some."""


@cache
def folder_of(seed: int) -> str:
    """Return the folder of the random Llama of two layers; runs start from that of seed 0."""
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0,
        bos_token_id=tokenizer().bos_token_id, eos_token_id=tokenizer().eos_token_id,
    )  # fmt: skip
    folder = Path(_SCRATCH.name) / f"model-{seed}"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def engine_recipes() -> list[Recipe]:
    """Return every variant of every defense in the contract's settings, on the matrix's models."""
    return [_placed(recipe) for recipe in recipes()]


def _placed(recipe: Recipe) -> Recipe:
    folders = {"base": folder_of(1), "aligned": folder_of(0)}
    own = [(k, folders.get(k, v)) for k, v in recipe.settings]
    return replace(recipe, settings=tuple(own))


def new_model(tuning: Tuning) -> Any:
    """Load the model of seed 0, in float32 or in 4 bits."""
    how = Placement(quantization="4bit") if tuning == "qlora" else Placement()
    return load_model(folder_of(0), placement=how)[0]


@cache
def _encoded() -> Dataset:
    rows = harmless_prompts(ROWS)
    return Dataset.from_list([encode(dict(row), tokenizer(), None) for row in rows])


def new_trainer(
    defenses: Sequence[Defense],
    tuning: Tuning,
    folder: Path | None = None,
    change: Change | None = None,
    **options: Any,
) -> Any:
    """Build a trainer; ``change`` is called with the model before the trainer gets it."""
    args = USUAL | {"output_dir": str(folder or new_folder())} | options
    torch.manual_seed(7)  # The adapter's first weights are drawn before a trainer sets its seed.
    model = new_model(tuning)
    if change is not None:
        change(model)
    shared: dict[str, Any] = {"processing_class": tokenizer(), "defenses": defenses}
    if tuning == "full":
        rows = {"train_dataset": _encoded(), "data_collator": partial(collate, pad_id=0)}
        return SecureTrainer(model=model, args=TrainingArguments(**args), **shared, **rows)
    return SecureSFTTrainer(
        model=model, args=SFTConfig(**args), train_dataset=harmless_prompts(ROWS),
        peft_config=lora(2, 4, targets=_TARGETS), **shared,
    )  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """A trainer after its run."""

    trainer: Any

    @property
    def weights(self) -> Weights:
        """Whole copies of the tensors, without those of 4 bits."""
        return floats(self.trainer.model)


def floats(model: nn.Module) -> Weights:
    """Return copies of the tensors that are no codes, whole where they are sharded."""
    named = ((n, p.detach()) for n, p in model.named_parameters() if p.is_floating_point())
    return {n: p.full_tensor() if isinstance(p, DTensor) else p.clone() for n, p in named}


def run(defenses: Sequence[Defense], tuning: Tuning, resume: Any = None, **options: Any) -> Ran:
    """Train to the end."""
    trainer = new_trainer(defenses, tuning, **options)
    trainer.train(resume_from_checkpoint=resume)
    require(trainer.state.global_step == trainer.args.max_steps, "it did not take all steps")
    return Ran(trainer)


def attention_of(model: nn.Module) -> nn.Module:
    """Return the first layer's attention: a hook on it is called again where it is recomputed."""
    return next(m for n, m in model.named_modules() if n.endswith("layers.0.self_attn"))
