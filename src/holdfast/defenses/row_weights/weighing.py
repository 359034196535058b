"""Row weights as equations: what scores make of rows, and what the weights make of the loss."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["effective_rows", "micro_batch_weights", "static_weights", "weighted_term"]


def static_weights(scores: Tensor, counts: Tensor, tau: float) -> Tensor:
    r"""Return :math:`w_i = \sigma(r_i/\tau) \,/\, \text{mean}_j\,\sigma(r_j/\tau)`, shape [rows].

    Their mean over all rows is 1, and 1 is each of them as τ → ∞. Ours: a softmax over all rows is
    heavy-tailed, and a few rows would take everything. A row without a score (NaN) weighs 1 and
    counts for nothing, for it has no answer to learn.

    Args:
        scores: r of every different row, nats per token, shape [rows].
        counts: How often each occurs, shape [rows].
        tau: Temperature, above 0, in nats per token.
    """
    known = ~scores.isnan()
    if not bool(known.any()):
        return torch.ones_like(scores, dtype=torch.float64)
    # Relative to the greatest: at a low τ every sigmoid may be less than the least number there is.
    raw = functional.logsigmoid(scores.double() / tau)
    raw = torch.exp(raw - raw[known].max())
    mean = (raw * counts)[known].sum() / counts[known].sum()
    return torch.where(known, raw / mean, 1.0)


def micro_batch_weights(scores: Tensor, tau: float) -> Tensor:
    r"""Return the paper's :math:`w = \text{softmax}(r/\tau)` but for its factor, shape [B].

    The greatest is 1, and all are as τ → ∞; a loss :math:`\sum_i w_i S_i/\sum_i w_i N_i` is the
    same at any factor. As τ → 0 one row is left. A constant added to all r changes nothing.

    Args:
        scores: r of the micro-batch's rows, nats per token; NaN where a row has no answer.
        tau: Temperature, above 0 (paper: 1).
    """
    known = ~scores.isnan()
    if not bool(known.any()):
        return torch.ones_like(scores)
    raw = torch.exp((scores - scores[known].max()) / tau)
    return torch.where(known, raw, 1.0)


def weighted_term(nll: Tensor, counts: list[int], weights: Tensor, renormed: bool) -> Tensor:
    r"""Return weighted minus plain loss, :math:`\frac1N\sum_i (c_i - 1)\,S_i`.

    :math:`S_i` is the sum of a row's token losses and N the number of all tokens. :math:`c_i = w_i`
    makes :math:`\frac1N\sum_i w_i S_i` of the loss, so that micro-batches add up to one batch;
    ``renormed`` takes :math:`c_i = w_i N / \sum_j w_j N_j` and makes the paper's
    :math:`\sum_i w_i S_i / \sum_i w_i N_i` of it. No gradient flows through the weights.

    Args:
        nll: Losses of the answer tokens, row after row, shape [N].
        counts: Answer tokens of each row.
        weights: One for each row, 0 or more, shape [B].
        renormed: Divide by the weighted number of tokens.
    """
    each = torch.tensor(counts, dtype=torch.float64)
    own = weights.detach().double().cpu()
    if renormed and float((own * each).sum()) > 0:
        own = own * each.sum() / (own * each).sum()
    less = (own - 1).repeat_interleave(each.long()).to(nll.device, nll.dtype)
    return (less * nll).sum() / max(1, len(nll))


def effective_rows(weights: Tensor, counts: Tensor | None = None) -> float:
    r"""Return :math:`(\sum w)^2 / \sum w^2`: how many rows of equal weight say as much."""
    often = torch.ones_like(weights) if counts is None else counts
    total, squares = (float((often * weights**n).sum()) for n in (1, 2))
    return total**2 / squares if squares > 0 else 0.0
