"""The decoder layers of a model, run on fixed prompts from any layer on.

A change of layer l leaves everything below it as it was, so what enters each layer is kept from one
clean pass and only the layers from l on are run again. A change of l's MLP leaves l's attention as
it was too, so what that returns is kept as well. About half the work, the same bits.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import InputError, ModelError, RunError
from holdfast.ops.modules import attentions, decoder_layers
from holdfast.ops.recompute import inference_mode_flags

__all__ = ["Batch", "Kept", "Suffix", "at_last", "batches_of", "decoder", "whole_pass"]


@dataclass(frozen=True)
class Batch:
    """Prompts of similar length, padded on the right."""

    rows: list[int]
    """Which prompts these are."""
    inputs: dict[str, Tensor]
    """``input_ids`` and ``attention_mask``, shape (rows, tokens)."""
    last: Tensor
    """Position of each prompt's last token, shape (rows,)."""


@dataclass(frozen=True)
class Kept:
    """What one clean pass over a batch leaves, layer by layer."""

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=list[tuple[tuple[Any, ...], dict[str, Any]]]
    )
    """Positional and keyword arguments of each layer; the hidden states come first."""
    attended: list[Any] = field(default_factory=list[Any])
    """What each layer's attention returned."""


def batches_of(prompts: Sequence[Sequence[int]], size: int, device: torch.device) -> list[Batch]:
    """Return the prompts as batches, the shortest first so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
    out: list[Batch] = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        lengths = torch.tensor([len(prompts[i]) for i in rows])
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
        for at, i in enumerate(rows):
            ids[at, : len(prompts[i])] = torch.tensor(prompts[i])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        out.append(Batch(rows, inputs, (lengths - 1).to(device)))
    return out


class Suffix:
    """Hidden states of the last decoder layer at each prompt's last token.

    Args:
        model: A causal LM, bare or inside PEFT.
        prompts: Token ids, none empty.
        batch_size: Prompts at a time.
        cached: Keep what enters each layer and what its attention returns, 2 · L · prompts ·
            tokens · hidden numbers in the model's precision and on its device; False runs the whole
            model each time.

    Raises:
        InputError: There is no prompt, or one has no token.
        ModelError: The decoder or its layers are not where holdfast looks for them.
        RunError: Running the layers one by one does not repeat the model's own pass.
    """

    def __init__(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        *,
        batch_size: int = 64,
        cached: bool = True,
    ) -> None:
        empty = next((i for i, ids in enumerate(prompts) if not ids), None)
        if not prompts or empty is not None:
            what = "no prompt" if empty is None else f"prompt {empty + 1} without a token"
            raise InputError(f"got {what}; give prompts of one token or more")
        self.model, self.cached = model, cached
        self.layers = decoder_layers(model)
        self.attentions = attentions(model) if cached else []
        self.batches = batches_of(prompts, batch_size, next(model.parameters()).device)
        self.count = len(prompts)
        self._kept: list[Kept] = []
        self.clean = self._clean()

    def states(self, first: int = 0, *, attention: bool = True) -> Tensor:
        """Return the states, shape (prompts, hidden), float32 on the CPU.

        Args:
            first: The lowest layer whose weights differ from the clean ones.
            attention: False: those of its attention do not.
        """
        with torch.no_grad(), inference_mode_flags(self.model):
            return self._in_order([
                self._from(n, first, attention) if self.cached else self._whole(batch)
                for n, batch in enumerate(self.batches)
            ])  # fmt: skip

    def _clean(self) -> Tensor:
        if not self.cached:
            return self.states()
        parts: list[Tensor] = []
        with torch.no_grad(), inference_mode_flags(self.model):
            for batch in self.batches:
                with _kept(self.layers, self.attentions) as kept:
                    parts.append(self._whole(batch))
                self._kept.append(kept)
        # What is measured is compared with a pass of its own kind, so that no change is no damage.
        clean, whole = self.states(0), self._in_order(parts)
        if not bool(torch.isfinite(whole).all()):
            raise RunError(
                "the model's hidden states are no numbers (NaN or infinite): its weights are "
                "broken, or too large for their type: check the model, or load it in float32"
            )
        if not _repeats(clean, whole, parts[0]):
            raise RunError(
                "running this model's layers one by one does not repeat its own forward pass; "
                "analyze it with cached=False"
            )
        return clean

    def _whole(self, batch: Batch) -> Tensor:
        """Run the decoder and return (rows, hidden) of its last layer, before the final norm."""
        return at_last(whole_pass(self.model, self.layers, batch.inputs), batch)

    def _from(self, number: int, first: int, attention: bool) -> Tensor:
        kept = self._kept[number]
        hidden = kept.calls[first][0][0]
        for at in range(first, len(self.layers)):
            args, options = kept.calls[at]
            skipped = at == first and not attention
            with _answering(self.attentions[at], kept.attended[at]) if skipped else nullcontext():
                out = self.layers[at](hidden, *args[1:], **options)
            hidden = out[0] if isinstance(out, tuple) else out
        return at_last(hidden, self.batches[number])

    def _in_order(self, parts: Sequence[Tensor]) -> Tensor:
        out = torch.empty(self.count, parts[0].shape[1])
        for batch, part in zip(self.batches, parts, strict=True):
            out[batch.rows] = part.float().cpu()
        return out


def at_last(hidden: Tensor, batch: Batch) -> Tensor:
    """Return (rows, hidden) at each prompt's last token."""
    return hidden[torch.arange(len(batch.rows), device=hidden.device), batch.last]


def whole_pass(
    model: nn.Module, layers: Sequence[nn.Module], inputs: Mapping[str, Tensor]
) -> Tensor:
    """Run the decoder without its head; return the last layer's output, (rows, tokens, hidden)."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = layers[-1].register_forward_hook(keep)
    try:
        decoder(model)(**inputs, use_cache=False)
    finally:
        handle.remove()
    return seen[-1]


def decoder(model: nn.Module) -> nn.Module:
    """Return the decoder without the language-model head, inside PEFT too.

    Raises:
        ModelError: The model does not say which part of it is the decoder.
    """
    bare: Any = getattr(model, "get_base_model", lambda: model)()
    last = decoder_layers(bare)[-1]
    # Some types call another module of theirs ``decoder``: their output head, for one.
    offered = (getattr(bare, "get_decoder", lambda: None)(), getattr(bare, "base_model", None))
    found = next((m for m in offered if isinstance(m, nn.Module) and _holds(m, last)), None)
    if found is None:
        raise ModelError(
            f"{type(bare).__name__} has no get_decoder(); give a causal language model"
        )
    return found


def _holds(module: nn.Module, layer: nn.Module) -> bool:
    return any(inner is layer for inner in module.modules())


def _repeats(clean: Tensor, whole: Tensor, native: Tensor) -> bool:
    """Tell whether two passes agree: bit for bit on a CPU, to rounding elsewhere.

    An accelerator may choose another kernel for the same product. The square root of the model's
    own precision lies far above what that changes and far below what a wrong mask or position does.
    """
    if native.device.type == "cpu":
        return torch.equal(clean, whole)
    limit = torch.finfo(native.dtype).eps ** 0.5
    return bool(((clean - whole).norm(dim=1) <= limit * whole.norm(dim=1)).all())


@contextmanager
def _kept(layers: Sequence[nn.Module], attentions: Sequence[nn.Module]) -> Generator[Kept]:
    """Collect what enters each layer, and what its attention returns, while the body runs."""
    kept = Kept()

    def call(_module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        options = dict(options)  # The layer still needs its own.
        kept.calls.append((args or (options.pop("hidden_states"),), options))

    def answer(_module: nn.Module, _args: object, output: Any) -> None:
        if isinstance(output, tuple):  # Eager attention adds its weights, which no layer reads.
            output = (output[0], *(None for _ in output[1:]))
        kept.attended.append(output)

    with ExitStack() as stack:
        for layer in layers:
            handle = layer.register_forward_pre_hook(call, with_kwargs=True)
            stack.callback(handle.remove)
        for attention in attentions:
            stack.callback(attention.register_forward_hook(answer).remove)
        yield kept


@contextmanager
def _answering(module: nn.Module, output: Any) -> Generator[None]:
    """Let the module return ``output`` without running while the body does."""
    own = vars(module).get("forward")  # What accelerate and others may have put there.
    module.forward = lambda *_args, **_options: output
    try:
        yield
    finally:
        if own is None:
            vars(module).pop("forward", None)
        else:
            module.forward = own
