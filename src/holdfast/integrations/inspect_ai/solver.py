"""Plain greedy decoding with holdfast's end tokens, on the provider of inspect-ai that has weights.

A provider that asks a server gets temperature 0 and the limit of tokens, and no more than that.
"""

from typing import Any

from inspect_ai.model import get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from holdfast.data.rendering.dates import fix_date
from holdfast.evaluation.decoding import greedy

__all__ = ["as_evaluated", "decoded_as_here"]


@solver
def decoded_as_here() -> Solver:
    """Let a model of the provider ``hf`` answer as ``holdfast evaluate`` has it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        api: Any = get_model().api
        if type(api).__name__ == "HuggingFaceAPI":
            as_evaluated(api)
        return state

    return solve


def as_evaluated(api: Any) -> None:
    """Put our decoding in place of what the provider would do: once, in place.

    The provider samples, adds the first token to a text that has it, takes what the folder's
    ``generation_config.json`` says, and does not know the token that ends a turn of the template.
    """
    tokenizer, model = api.tokenizer, api.model
    api.do_sample = False
    api.tokenizer_call_args = {**api.tokenizer_call_args, "add_special_tokens": False}
    fix_date(tokenizer)
    config = greedy(model, tokenizer, max_new_tokens=1)  # The task's limit comes with each call.
    config.max_new_tokens = None
    model.generation_config = config
    model.eval()
