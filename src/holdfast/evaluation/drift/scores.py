r"""Log-probabilities of openings after prompts: each prompt goes through the model once.

.. math:: \ell(s \mid x) = \frac{1}{|s|}\sum_l \log p(s_l \mid x, s_{<l})

in nats per token. With P prompts of m tokens and K openings of k tokens the cached form costs
P (m + K (k - 1)) token-forwards, the plain one P K (m + k).
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.errors import DataError
from holdfast.evaluation.generate import inference_mode

__all__ = ["opening_scores", "paired_scores", "uncached_scores"]

Rows = Sequence[Sequence[int]]


def opening_scores(
    model: nn.Module, prompts: Rows, openings: Rows, *, batch_size: int = 64
) -> Tensor:
    """Return ``ell(s | x)``, float32 of shape [prompts, openings], on the CPU.

    The model is left as it is: no gradient, no dropout, no random number, modes given back. A
    model without a cache of keys and values is scored by ``uncached_scores``.

    Args:
        model: Any Hugging Face causal language model, or a PEFT model around one.
        prompts: Token ids of each conversation up to the answer, at least one token each.
        openings: Token ids of each opening.
        batch_size: Prompts at a time.

    Raises:
        DataError: A prompt or an opening is empty.
    """
    _check(prompts, openings)
    if not _has_cache(model):
        return uncached_scores(model, prompts, openings, batch_size=batch_size)
    found = torch.empty(len(prompts), len(openings))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]), reverse=True)
    with inference_mode(model):
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            found[chosen] = _cached(model, [prompts[i] for i in chosen], openings)
    return found


def uncached_scores(
    model: nn.Module, prompts: Rows, openings: Rows, *, batch_size: int = 64
) -> Tensor:
    """Return what ``opening_scores`` does, by one pass over every prompt with every opening."""
    _check(prompts, openings)
    rows = [(list(prompt), list(opening)) for prompt in prompts for opening in openings]
    starts = range(0, len(rows), batch_size)
    with inference_mode(model):
        found = [_whole(model, rows[start : start + batch_size]) for start in starts]
    return torch.cat(found).reshape(len(prompts), len(openings))


def paired_scores(
    model: nn.Module, prompts: Rows, answers: Rows, *, batch_size: int = 64
) -> Tensor:
    """Return ``ell(s | x)`` of each prompt's own answer, float32 of shape [prompts].

    Raises:
        DataError: A prompt or an answer is empty, or they differ in number.
    """
    _check(prompts, answers)
    rows = [(list(p), list(a)) for p, a in zip(prompts, answers, strict=True)]
    starts = range(0, len(rows), batch_size)
    with inference_mode(model):
        return torch.cat([_whole(model, rows[at : at + batch_size]) for at in starts])


def _check(prompts: Rows, openings: Rows) -> None:
    for name, rows in (("prompts", prompts), ("openings", openings)):
        if not rows or not all(len(row) for row in rows):
            raise DataError(f"`{name}`: give at least one, each of one token or more")


def _cached(model: Any, prompts: Rows, openings: Rows) -> Tensor:
    """Prefill one batch of prompts, padded on the left, and score all openings after it."""
    width, device, takes = max(map(len, prompts)), _device(model), _arguments(model)
    # ids, mask: [P, m].
    ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    more: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    if "position_ids" in takes:
        more["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    first = model(input_ids=ids, attention_mask=mask, use_cache=True, **more)
    count, cache = len(openings), first.past_key_values
    begins = first.logits[:, -1].float().log_softmax(-1)  # [P, V]
    heads = torch.tensor([opening[0] for opening in openings], device=device)
    total = begins[:, heads]  # [P, K]
    longest = max(map(len, openings))
    if longest > 1:
        cache.batch_repeat_interleave(count)
        total = total + _rest(model, mask, cache, openings, longest)
    lengths = torch.tensor([len(opening) for opening in openings], device=device)
    return (total / lengths).cpu()


def _rest(model: Any, mask: Tensor, cache: Any, openings: Rows, longest: int) -> Tensor:
    """Return the summed log-probabilities of all tokens but each opening's first, [P, K]."""
    count, device = len(openings), mask.device
    # Padded on the right, where a causal model's earlier tokens do not see it.
    padded = torch.tensor(
        [list(o[:-1]) + [0] * (longest - len(o)) for o in openings], device=device
    )  # [K, k - 1]
    wanted = torch.tensor(
        [list(o[1:]) + [-1] * (longest - len(o)) for o in openings], device=device
    )
    whole = torch.cat([mask, mask.new_ones(len(mask), longest - 1)], dim=1)
    whole = whole.repeat_interleave(count, dim=0)  # [P K, m + k - 1]
    more: dict[str, Any] = {}
    if "position_ids" in _arguments(model):
        more["position_ids"] = (whole.cumsum(1) - 1)[:, -(longest - 1) :]
    ids = padded.repeat(len(mask), 1)  # [P K, k - 1]
    out = model(
        input_ids=ids, attention_mask=whole, past_key_values=cache, use_cache=True, **more
    ).logits
    wanted = wanted.repeat(len(mask), 1)
    return _summed(out, wanted).reshape(len(mask), count)


def _whole(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Tensor:
    """Score each opening behind its prompt in one pass over both."""
    width = max(len(prompt) + len(opening) for prompt, opening in rows)
    ids = [p + o + [0] * (width - len(p) - len(o)) for p, o in rows]
    marks = [[1] * len(p + o) + [0] * (width - len(p) - len(o)) for p, o in rows]
    wanted = [[-1] * (len(p) - 1) + o + [-1] * (width - len(p) - len(o)) for p, o in rows]
    device = _device(model)
    logits = model(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(marks, device=device),
        use_cache=False,
    ).logits[:, :-1]
    lengths = torch.tensor([len(o) for _, o in rows], device=device)
    return (_summed(logits, torch.tensor(wanted, device=device)) / lengths).cpu()


def _summed(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the sum over each row of ``log p(wanted)`` where ``wanted`` is not -1."""
    asked = wanted >= 0
    chosen = logits[asked].float().log_softmax(-1)
    values = chosen.gather(1, wanted[asked].unsqueeze(1)).squeeze(1)
    return values.new_zeros(wanted.shape).masked_scatter(asked, values).sum(1)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _arguments(model: Any) -> frozenset[str]:
    """Return what the model's own forward takes, seen through a PEFT model around it."""
    own = model.get_base_model() if hasattr(model, "get_base_model") else model
    return frozenset(inspect.signature(own.forward).parameters)


def _has_cache(model: Any) -> bool:
    """Tell whether the model keeps keys and values that may be repeated, and nothing else."""
    takes = _arguments(model)
    stateful = getattr(model, "_is_stateful", False)
    return {"past_key_values", "use_cache"} <= takes and not stateful
