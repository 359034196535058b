"""Trainers of TRL beside its SFT, on the tiny model: preference, reward and generation."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, LlamaConfig
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from holdfast.testing.runs import new_folder, tiny_model, tokenizer
from tests.contract.runs import user_rows

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Of what is experimental.
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer


def _pairs(n: int = 8) -> Dataset:
    """Return the user's questions with a right and a wrong answer each."""
    rows, other = user_rows(n), user_rows(2 * n).select(range(n, 2 * n))
    made = [
        {"prompt": row["prompt"], "chosen": row["completion"], "rejected": wrong["completion"]}
        for row, wrong in zip(rows, other, strict=True)
    ]
    return Dataset.from_list(made)


def _labeled() -> Dataset:
    rows = [dict(row, label=number % 2 == 0) for number, row in enumerate(user_rows(8))]
    return Dataset.from_list(
        [{k: row[k] for k in ("prompt", "completion", "label")} for row in rows]
    )


def _settings(config: type[Any], **more: Any) -> Any:
    return config(
        output_dir=str(new_folder()), max_steps=3, per_device_train_batch_size=2, use_cpu=True,
        bf16=False, report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1,
        learning_rate=1e-3, gradient_checkpointing=False, **more,
    )  # fmt: skip


def _made(kind: type[Any], config: type[Any], rows: Dataset, model: Any, **more: Any) -> Any:
    torch.manual_seed(7)
    limits = {name: more.pop(name) for name in ("max_length",) if name in more}
    args = _settings(config, **limits)
    reader = {"processing_class": tokenizer()}
    return kind(model=model, args=args, train_dataset=rows, **reader, **more)


def _reward_model() -> Any:
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0, num_labels=1,
    )  # fmt: skip
    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)


def _generating(kind: type[Any], config: type[Any], **more: Any) -> Any:
    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(str(c)) % 3) for c in completions]

    torch.manual_seed(7)
    return kind(
        model=tiny_model(), reward_funcs=reward, processing_class=tokenizer(),
        args=_settings(config, num_generations=2, max_completion_length=4, **more),
        train_dataset=user_rows(8).select_columns(["prompt"]),
    )  # fmt: skip


FOREIGN: dict[str, Callable[[], Any]] = {
    "dpo": lambda: _made(DPOTrainer, DPOConfig, _pairs(), tiny_model(), ref_model=tiny_model()),
    "kto": lambda: _made(KTOTrainer, KTOConfig, _labeled(), tiny_model(), ref_model=tiny_model()),
    "orpo": lambda: _made(ORPOTrainer, ORPOConfig, _pairs(), tiny_model(), max_length=64),
    "reward": lambda: _made(RewardTrainer, RewardConfig, _pairs(), _reward_model()),
    "grpo": lambda: _generating(GRPOTrainer, GRPOConfig),
    "rloo": lambda: _generating(RLOOTrainer, RLOOConfig, beta=0.0),
}
"""Builds each of them."""
