"""A model's own paraphrases of questions, sampled at temperature 1 from a seed."""

from collections.abc import Sequence

import torch

from holdfast.data.chat import encode_prompt
from holdfast.evaluation.decoding import greedy
from holdfast.evaluation.generate import replies_to
from holdfast.evaluation.redteam.target import Target

__all__ = ["retold"]

TOKENS = 48
"""Longest paraphrase; ours."""


def retold(
    target: Target, questions: Sequence[str], wording: str, each: int, seed: int
) -> list[list[str]]:
    """Return up to ``each`` different paraphrases of every question; lines alone, none empty.

    The caller's random state is left as it was. A model that refuses to say it in other words gives
    refusals; their distance from the question is what keeps them out.
    """
    texts = [wording.replace("{question}", question) for question in questions]
    prompts = [encode_prompt([{"role": "user", "content": t}], target.tokenizer) for t in texts]
    if not all(target.fits(prompt) for prompt in prompts):
        return [[] for _ in questions]
    config = greedy(target.model, target.tokenizer, TOKENS)
    config.do_sample, config.temperature, config.top_k, config.top_p = True, 1.0, 0, 1.0
    devices = [target.model.device] if target.model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        rounds = [
            replies_to(target.model, target.tokenizer, prompts, max_new_tokens=TOKENS,
                       batch_size=target.batch_size, decoding=config)
            for _ in range(each)
        ]  # fmt: skip
    said = [[one[place].text for one in rounds] for place in range(len(questions))]
    return [_lines(own) for own in said]


def _lines(texts: Sequence[str]) -> list[str]:
    firsts = [text.strip().splitlines()[0].strip(" \"'") for text in texts if text.strip()]
    return [line for line in dict.fromkeys(firsts) if line]
