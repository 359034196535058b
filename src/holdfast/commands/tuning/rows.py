"""The rows of a tuning run as its trainer takes them: plain ones as they are, turns as tokens."""

from typing import Any

from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from holdfast.data.columns import file_of
from holdfast.data.tokenized import has_conversations, tokenized
from holdfast.inputs.read import Inputs

__all__ = ["trainers_rows"]


def trainers_rows(inputs: Inputs, args: SFTConfig) -> dict[str, Any]:
    """Return SFTTrainer's ``train_dataset`` and ``eval_dataset``.

    Where a row of either is a whole conversation, both are token ids with labels. TRL would look
    for messages to make its own masks of, so it is told that the labels are made: that only the
    assistant's tokens are learned is what they say.
    """
    config: Any = inputs.config
    given = {"train_dataset": (inputs.rows, config.data)}
    if inputs.eval_rows is not None:
        given["eval_dataset"] = (inputs.eval_rows, config.eval_data)
    if not any(has_conversations(rows) for rows, _ in given.values()):
        return {name: _plain(rows) for name, (rows, _) in given.items()}
    whole = args.completion_only_loss is False
    args.assistant_only_loss = False
    return {
        name: tokenized(rows, inputs.examiner.tokenizer, file_of(path), whole=whole)
        for name, (rows, path) in given.items()
    }


def _plain(rows: Dataset) -> Dataset:
    return rows.select_columns(["prompt", "completion"])
