"""Trainers of a tiny random Llama, and what is left of a run: the one place where suites train."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, Trainer, TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from holdfast.data.chat import collate, encode
from holdfast.defense import Defense
from holdfast.organism.scenarios import harmless_prompts
from holdfast.organism.vocabulary import build_tokenizer
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer

__all__ = [
    "ADAPTERS", "FULL", "LORA_ON_BF16", "SFT_LORA", "Outcome", "Setting", "Weights", "differing",
    "gap", "new_folder", "new_trainer", "plain", "require", "tiny_model", "tokenizer", "trained",
    "weights_of",
]  # fmt: skip

_SCRATCH = tempfile.TemporaryDirectory(prefix="holdfast-testing-")
_NUMBER = count()
Weights = dict[str, Tensor]
tokenizer = cache(build_tokenizer)


@dataclass(frozen=True)
class Setting:
    """Which trainer, which parameters, and the type of the weights that are not trained."""

    trainer: Literal["Trainer", "SFTTrainer"] = "Trainer"
    tuning: Literal["full", "lora"] = "full"
    base: torch.dtype = torch.float32

    def __str__(self) -> str:
        return f"{self.trainer}-{self.tuning}{'' if self.base == torch.float32 else '-bf16'}"


FULL, SFT_LORA = Setting(), Setting("SFTTrainer", "lora")
LORA_ON_BF16 = Setting(tuning="lora", base=torch.bfloat16)

ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": {}, "rslora": {"use_rslora": True}, "dora": {"use_dora": True},
    "pissa": {"init_lora_weights": "pissa"}, "lora_bias": {"lora_bias": True},
    "modules_to_save": {"modules_to_save": ["lm_head"]},
}  # fmt: skip
"""What a LoRA adapter can be, as options of PEFT's ``LoraConfig``."""


def require(held: object, said: str) -> None:
    """Raise ``AssertionError`` with ``said`` unless ``held``, also under ``python -O``."""
    if not held:
        raise AssertionError(said)


def tiny_model(seed: int = 0) -> Any:
    """Return a random Llama of two layers and width 32; runs start from the one of seed 0."""
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def new_folder() -> Path:
    """Return the path of an output folder that does not exist yet."""
    return Path(_SCRATCH.name) / f"run-{next(_NUMBER)}"


def new_trainer(
    defenses: Sequence[Defense] | None,
    setting: Setting = FULL,
    *,
    cls: type[Trainer] | None = None,
    folder: Path | None = None,
    rows: int = 12,
    adapter: str = "lora",
    **args: Any,
) -> Any:
    """Build a trainer of the tiny model; ``defenses=None`` builds the plain class.

    An ``eval_strategy`` evaluates on the first four rows. ``adapter`` is a name in ``ADAPTERS``.
    """
    given: dict[str, Any] = {
        "output_dir": str(folder or new_folder()), "max_steps": 4, "learning_rate": 1e-2,
        "per_device_train_batch_size": 2, "logging_steps": 1, "save_strategy": "no", "seed": 3,
        "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False,
    } | args  # fmt: skip
    torch.manual_seed(7)  # The adapters' first weights are drawn before a trainer sets its seed.
    model, sft = tiny_model().to(setting.base), setting.trainer == "SFTTrainer"
    targets = ["q_proj", "v_proj", "down_proj"]
    kind: Any = ADAPTERS[adapter]
    lora = LoraConfig(r=2, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM", **kind)
    data = harmless_prompts(rows)
    if not sft:
        data = Dataset.from_list([encode(dict(row), tokenizer(), None) for row in data])
    extra: dict[str, Any] = {"train_dataset": data, "processing_class": tokenizer()}
    if defenses is not None:
        extra["defenses"] = defenses
    if "eval_strategy" in args:
        extra["eval_dataset"] = data.select(range(4))
    if sft:
        make: Any = cls or (SFTTrainer if defenses is None else SecureSFTTrainer)
        extra["peft_config"] = lora if setting.tuning == "lora" else None
        return make(model=model, args=SFTConfig(**given), **extra)
    make = cls or (Trainer if defenses is None else SecureTrainer)
    model = get_peft_model(model, lora) if setting.tuning == "lora" else model
    extra["data_collator"] = partial(collate, pad_id=0)
    return make(model=model, args=TrainingArguments(**given), **extra)


def weights_of(model: nn.Module) -> Weights:
    """Return copies of all parameters by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@dataclass
class Outcome:
    """What is left of one run."""

    trainer: Any
    weights: Weights
    losses: list[float]
    random: list[Tensor]
    """torch's global state at each micro-batch and after the run."""


def trained(
    defenses: Sequence[Defense] | None,
    setting: Setting = FULL,
    *,
    resume: Any = None,
    **options: Any,
) -> Outcome:
    """Train to the end."""
    trainer = new_trainer(defenses, setting, **options)
    states: list[Tensor] = []
    own = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> Any:
        states.append(torch.get_rng_state())
        return own(*args, **kwargs)

    trainer.training_step = watched
    try:
        trainer.train(resume_from_checkpoint=resume)
    finally:
        del trainer.training_step
    states.append(torch.get_rng_state())
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return Outcome(trainer, weights_of(trainer.model), losses, states)


@lru_cache(maxsize=64)
def plain(setting: Setting = FULL, **options: Any) -> Outcome:
    """Return the run of the plain class, trained once per setting."""
    return trained(None, setting, **options)


def differing(left: Weights, right: Weights) -> list[str]:
    """Return the names of the tensors that are not the same bit for bit."""
    require(left.keys() == right.keys(), f"other tensors: {left.keys() ^ right.keys()}")
    return [name for name in left if not torch.equal(left[name], right[name])]


def gap(left: Weights, right: Weights) -> float:
    """Return the largest absolute difference between two sets of weights."""
    require(left.keys() == right.keys(), f"other tensors: {left.keys() ^ right.keys()}")
    return max(float((left[n].float() - right[n].float()).abs().max()) for n in left)
