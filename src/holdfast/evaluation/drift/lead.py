r"""The lead: by how much a model leans to refusing, without generating (closed loop, section 1).

.. math:: L(x) = \operatorname{mean}_r \ell(r \mid x) - \operatorname{mean}_a \ell(a \mid x)

over refusals r and agreements a, in nats per token; positive leans to refusing. The measure is
ours; openings that tell harmful from harmless prompts are Prefix Probing's (arXiv 2512.16650).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from holdfast.evaluation.drift.openings import Openings
from holdfast.evaluation.drift.scores import opening_scores

__all__ = ["lead", "lead_batches", "lead_of_scores", "probe_loss"]

Rows = Sequence[Sequence[int]]
IGNORED = -100


def lead(model: nn.Module, prompts: Rows, openings: Openings, *, batch_size: int = 64) -> Tensor:
    """Return ``L(x)`` of each prompt, float32 of shape [prompts], on the CPU.

    Args:
        model: Any Hugging Face causal language model, or a PEFT model around one; left as it is.
        prompts: Token ids of each conversation up to the answer, as ``probe_ids`` gives them.
        openings: Refusals and agreements.
        batch_size: Prompts at a time.

    Raises:
        DataError: There is no prompt, or an empty one.
    """
    scores = opening_scores(model, prompts, openings.every, batch_size=batch_size)
    return lead_of_scores(scores, openings)


def lead_of_scores(scores: Tensor, openings: Openings) -> Tensor:
    """Return ``L(x)`` from ``ell(s | x)`` [prompts, openings], refusals first."""
    count = len(openings.refusals)
    return scores[:, :count].mean(1) - scores[:, count:].mean(1)


def lead_batches(
    prompts: Rows, openings: Openings, size: int = 8, pad_id: int = 0
) -> list[dict[str, Tensor]]:
    """Return batches for ``probe_loss``, whose sum over them is the mean lead of all prompts.

    Each holds ``size`` prompts with every opening: ``input_ids``, ``attention_mask``, ``labels`` of
    shape [size K, T], and ``weight`` [size K], what one row's summed log-probability counts.
    """
    first, second = len(openings.refusals), len(openings.agreements)
    shares = [1 / first] * first + [-1 / second] * second
    batches: list[dict[str, Tensor]] = []
    for start in range(0, len(prompts), size):
        rows = [
            (list(prompt), list(opening), share / len(opening) / len(prompts))
            for prompt in prompts[start : start + size]
            for opening, share in zip(openings.every, shares, strict=True)
        ]
        batches.append(_padded(rows, pad_id))
    return batches


def probe_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return one batch's part of the mean lead, with its graph; see ``lead_batches``.

    Nothing is cached and modes are the caller's: put the model in evaluation for an exact figure.
    """
    device = next(model.parameters()).device
    own = {name: tensor.to(device) for name, tensor in batch.items()}
    logits = model(
        input_ids=own["input_ids"], attention_mask=own["attention_mask"], use_cache=False
    ).logits[:, :-1]
    labels = own["labels"][:, 1:]
    asked = labels != IGNORED
    # Openings alone go through the softmax: prompts fill most of a batch.
    values = logits[asked].float().log_softmax(-1).gather(1, labels[asked].unsqueeze(1)).squeeze(1)
    return (values * own["weight"].unsqueeze(1).expand_as(labels)[asked]).sum()


def _padded(rows: Sequence[tuple[list[int], list[int], float]], pad_id: int) -> dict[str, Tensor]:
    width = max(len(prompt) + len(opening) for prompt, opening, _ in rows)
    left = [width - len(prompt) - len(opening) for prompt, opening, _ in rows]
    pairs = list(zip(rows, left, strict=True))
    return {
        "input_ids": torch.tensor([[*p, *o, *[pad_id] * n] for (p, o, _), n in pairs]),
        "attention_mask": torch.tensor([[1] * len(p + o) + [0] * n for (p, o, _), n in pairs]),
        "labels": torch.tensor(
            [[*[IGNORED] * len(p), *o, *[IGNORED] * n] for (p, o, _), n in pairs]
        ),
        "weight": torch.tensor([share for _, _, share in rows]),
    }
