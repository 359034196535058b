"""How near two questions are: the cosine of the model's own mean hidden states.

DART (arXiv 2501.08246) keeps the distance of two embeddings of a T5 encoder below a bound. Here the
model under attack embeds, so that nothing else has to be loaded. States of one model all point one
way; the mean over all questions is taken off first, and near then says near among questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.evaluation.generate import inference_mode

__all__ = ["TAU", "Nearness"]

TAU = 0.8
"""Least cosine of a question and its variation; ours."""
FEWEST = 3
"""Questions from which a mean is taken off; ours."""


@dataclass(frozen=True)
class Nearness:
    """Cosines of questions with what was made of them.

    Attributes:
        model: Any Hugging Face causal language model; left as it is.
        tokenizer: Its tokenizer.
        center: What all questions have in common, shape [hidden].
        batch_size: Texts at a time.
    """

    model: Any
    tokenizer: Any
    center: Tensor
    batch_size: int = 64

    @classmethod
    def among(
        cls, model: Any, tokenizer: Any, questions: Sequence[str], batch_size: int = 64
    ) -> "Nearness":
        """Return the measure of near among these questions, at least one."""
        found = cls(model, tokenizer, torch.zeros(()), batch_size)
        states = found.states(questions)
        center = states.mean(0) if len(questions) >= FEWEST else torch.zeros_like(states[0])
        return cls(model, tokenizer, center, batch_size)

    def cosines(self, ours: Sequence[str], theirs: Sequence[str]) -> list[float]:
        """Return the cosine of each pair, in [-1, 1]."""
        if not ours:
            return []
        left, right = self.states(ours) - self.center, self.states(theirs) - self.center
        return torch.cosine_similarity(left, right, dim=1).tolist()

    def states(self, texts: Sequence[str]) -> Tensor:
        """Return the mean of the last hidden states of each text, float32 [texts, hidden]."""
        rows = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        with inference_mode(self.model):
            starts = range(0, len(rows), self.batch_size)
            return torch.cat([self._batch(rows[n : n + self.batch_size]) for n in starts])

    def _batch(self, rows: Sequence[Sequence[int]]) -> Tensor:
        width = max(1, *map(len, rows))
        device = self.model.device
        # ids, mask: [texts, width], padded on the right.
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], device=device)
        how = {"attention_mask": mask, "output_hidden_states": True, "use_cache": False}
        states = self.model(input_ids=ids, **how).hidden_states[-1].float()
        weights = mask.unsqueeze(-1).float()
        return ((states * weights).sum(1) / weights.sum(1).clamp(min=1)).cpu()
