"""What a model hands to its output embedding at the end of a prompt, whatever its architecture."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.data.chat import collate, encode_prompt
from holdfast.defense import Row, Run
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.modules import trainable
from holdfast.ops.roles.names import in_tower, place_of, plain_name


def output_embedding(model: nn.Module) -> nn.Module:
    """Return the module that makes logits of states.

    Raises:
        ModelError: The model names none.
    """
    found: Any = getattr(model, "get_output_embeddings", lambda: None)()
    if not isinstance(found, nn.Module):
        raise ModelError(
            f"state_anchor holds the input of the output embedding, and {type(model).__name__} "
            "names none (get_output_embeddings); give a causal language model"
        )
    return found


def trained_readout(model: nn.Module) -> list[str]:
    """Return the trained tensors that turn a state into an answer, by plain name.

    They are the output embedding's, tied or adapted ones included, and the vectors outside of the
    decoder layers: the final norm above all.
    """
    own = {id(p) for p in output_embedding(model).parameters()}
    return [
        plain_name(name)
        for name, p in trainable(model).items()
        if id(p) in own or (p.dim() < 2 and place_of(name)[0] < 0 and not in_tower(name))
    ]


def prompt_batches(rows: Sequence[Row], run: Run, size: int) -> list[Batch]:
    """Return the rows' prompts, as a model about to answer sees them, in batches of ``size``.

    Args:
        rows: Examples, of which only the prompt is read; of tokenized ones, what is before the
            first label.
        run: The run, for its tokenizer.
        size: Prompts per batch; they are padded on the right.

    Raises:
        ConfigError: A row has no prompt, or there is no tokenizer.
    """
    ready = [_prompt(row, run.tokenizer, number) for number, row in enumerate(rows, 1)]
    chunks = [ready[first : first + size] for first in range(0, len(ready), size)]
    made = [collate([{"input_ids": p, "labels": [IGNORED] * len(p)} for p in c], 0) for c in chunks]
    return [{name: t for name, t in batch.items() if name != "labels"} for batch in made]


def _prompt(row: Row, tokenizer: Any, number: int) -> list[int]:
    if "input_ids" in row:
        labels = [int(label) for label in row.get("labels", [])]
        begin = next((n for n, label in enumerate(labels) if label != IGNORED), len(labels))
        ids = [int(token) for token in row["input_ids"][:begin]]
    elif tokenizer is None:
        raise ConfigError(
            "state_anchor writes prompts with the model's chat template: give the trainer its "
            "tokenizer (processing_class=), or rows of input_ids and labels"
        )
    else:
        ids = encode_prompt(row["prompt"], tokenizer)
    if not ids:
        raise ConfigError(
            f"state_anchor: row {row.get('row') or number} has no token before its answer; give "
            "rows with a prompt"
        )
    return ids


def last_states(engine: Engine, batch: Batch) -> Tensor:
    """Return the input of the output embedding at each prompt's last token, shape [B, d], float32.

    The output embedding is run on these states alone: the logits of all other tokens, which would
    be most of the memory, are never made.

    Args:
        engine: The engine of the model.
        batch: ``input_ids`` and ``attention_mask``, padded on the right.

    Raises:
        ModelError: The forward pass does not call the output embedding on a state for each token.
    """
    mask = batch["attention_mask"]
    with _kept(output_embedding(engine.model), mask) as found:
        outputs = engine.forward(batch)
    if len(found) != 1:
        raise ModelError(
            f"state_anchor: a forward pass of {type(engine.model).__name__} ran its output "
            f"embedding {len(found)} times, not once; its states cannot be held"
        )
    # A sharded model gathers its weights for a backward where that meets the model's own output. A
    # way past it would read freed memory, so the output stands on the way, and changes nothing.
    return found[0].float() + 0.0 * outputs.logits[:, -1, :1].float()


@contextmanager
def _kept(head: nn.Module, mask: Tensor) -> Generator[list[Tensor]]:
    """Collect the states of the last tokens while the body runs."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0]
        if hidden.shape[:2] != mask.shape:
            raise ModelError(
                f"state_anchor: the output embedding got states of the shape "
                f"{tuple(hidden.shape)} for tokens of the shape {tuple(mask.shape)}; there must be "
                "one for each token"
            )
        last = mask.sum(dim=1).to(hidden.device) - 1
        states = hidden[torch.arange(len(last), device=hidden.device), last]
        found.append(states)
        return (states.unsqueeze(1), *inputs[1:])

    handle = head.register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
