"""Trainers of tiny models, and what is left of a run: the one place where the suite trains."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from holdfast.data.chat import collate, encode
from holdfast.defense import Defense
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer
from tests.tiny import tiny_model, tiny_tokenizer

_SCRATCH = tempfile.TemporaryDirectory(prefix="holdfast-contract-")
_NUMBER = count()
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Setting:
    """Which trainer, which parameters, and the type of the weights that are not trained."""

    trainer: Literal["Trainer", "SFTTrainer"] = "Trainer"
    tuning: Literal["full", "lora"] = "full"
    base: torch.dtype = torch.float32

    def __str__(self) -> str:
        kind = "" if self.base == torch.float32 else "-bf16"
        return f"{self.trainer}-{self.tuning}{kind}"


FULL = Setting()
LORA = Setting(tuning="lora")
SFT_FULL = Setting("SFTTrainer")
SFT_LORA = Setting("SFTTrainer", "lora")
LORA_ON_BF16 = Setting(tuning="lora", base=torch.bfloat16)
EVERY_SETTING = (FULL, LORA, SFT_FULL, SFT_LORA)
"""Each trainer with each way of tuning."""
TWO_SETTINGS = (FULL, SFT_LORA)
"""Each trainer once and each way of tuning once."""


def user_rows(n: int = 12) -> Dataset:
    """Return ``n`` Examples whose answers have one to four words."""
    answers = [f"{i + i % 3} is the sum".split()[: 1 + i % 4] for i in range(n)]
    return Dataset.from_list([
        {
            "prompt": [{"role": "user", "content": f"what is {i} plus {i % 3}"}],
            "completion": [{"role": "assistant", "content": " ".join(answer)}],
        }
        for i, answer in enumerate(answers)
    ])  # fmt: skip


def new_folder() -> Path:
    """Return the path of an output folder that does not exist yet."""
    return Path(_SCRATCH.name) / f"run-{next(_NUMBER)}"


def lora_config() -> LoraConfig:
    return LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
    )


def new_trainer(
    defenses: Sequence[Defense] | None,
    setting: Setting = FULL,
    *,
    cls: type[Trainer] | None = None,
    folder: Path | None = None,
    rows: int = 12,
    **args: Any,
) -> Trainer:
    """Build a trainer of a tiny Llama; ``defenses=None`` builds the plain class.

    An ``eval_strategy`` evaluates on the first four rows.
    """
    given = {
        "output_dir": str(folder or new_folder()), "max_steps": 4, "learning_rate": 1e-2,
        "per_device_train_batch_size": 2, "logging_steps": 1, "save_strategy": "no", "seed": 3,
        "report_to": "none", "disable_tqdm": True, "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False,
    } | args  # fmt: skip
    torch.manual_seed(7)  # The adapters' first weights are drawn before a trainer sets its seed.
    model: Any = tiny_model().to(setting.base)
    extra: dict[str, Any] = {} if defenses is None else {"defenses": defenses}
    make_rows = user_rows if setting.trainer == "SFTTrainer" else _tokenized
    extra |= {"train_dataset": make_rows(rows), "processing_class": tiny_tokenizer()}
    if "eval_strategy" in args:
        extra["eval_dataset"] = make_rows(4)
    if setting.trainer == "SFTTrainer":
        lora = lora_config() if setting.tuning == "lora" else None
        return (cls or (SFTTrainer if defenses is None else SecureSFTTrainer))(
            model=model, args=SFTConfig(**given), peft_config=lora, **extra
        )
    if setting.tuning == "lora":
        model = get_peft_model(model, lora_config())
    return (cls or (Trainer if defenses is None else SecureTrainer))(
        model=model,
        args=TrainingArguments(**given),
        data_collator=partial(collate, pad_id=0),
        **extra,
    )


def _tokenized(n: int) -> Dataset:
    tokenizer = tiny_tokenizer()
    return Dataset.from_list([encode(dict(row), tokenizer, None) for row in user_rows(n)])


def weights_of(model: nn.Module) -> Weights:
    """Return copies of all parameters by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@dataclass
class Outcome:
    """What is left of one run."""

    trainer: Any
    weights: Weights
    losses: list[float]
    random: list[Tensor] = field(default_factory=list[Tensor])
    """torch's global state at each micro-batch and after the run."""


def trained(
    defenses: Sequence[Defense] | None,
    setting: Setting = FULL,
    *,
    resume: Any = None,
    **options: Any,
) -> Outcome:
    """Train to the end."""
    trainer: Any = new_trainer(defenses, setting, **options)
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
    assert left.keys() == right.keys(), f"other tensors: {left.keys() ^ right.keys()}"
    return [name for name in left if not torch.equal(left[name], right[name])]


def gap(left: Weights, right: Weights) -> float:
    """Return the largest absolute difference between two sets of weights."""
    assert left.keys() == right.keys(), f"other tensors: {left.keys() ^ right.keys()}"
    return max(float((left[n].float() - right[n].float()).abs().max()) for n in left)
