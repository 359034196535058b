# ruff: noqa: PLC0415  # Whoever lists what is registered does not wait for torch.
"""A model provider that answers as ``holdfast evaluate`` does: ``--model holdfast/FOLDER``.

Of ``-M`` it takes what ``holdfast evaluate`` takes for its model, such as adapter=DIR,
dtype=bfloat16 and chat_template=FILE, and batch_size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from holdfast.errors import ConfigError, nearest
from holdfast.inputs.configs import EvaluateConfig, ModelConfig
from holdfast.inputs.guards.given import check_given
from holdfast.integrations.inspect_ai.batches import Batches
from holdfast.integrations.inspect_ai.messages import as_typed, output_of, prompt_of

__all__ = ["HoldfastAPI", "holdfast"]

_PATHS = ("adapter", "chat_template")
_TAKEN = (
    *(each.name for each in fields(ModelConfig) if each.name != "model"), "adapter", "batch_size",
)  # fmt: skip


@modelapi(name="holdfast")
def holdfast() -> type[ModelAPI]:
    """Return the provider."""
    return HoldfastAPI


class HoldfastAPI(ModelAPI):
    """Generates greedily, with the prompts, end tokens and batches of ``holdfast evaluate``."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        asked = _config(model_name, model_args)
        self._loaded, self._size = _loaded(asked), asked.batch_size
        self._batches: Batches[tuple[int, Any], Any] = Batches(self._answer, self._size)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer one conversation, in a batch with those that are asked at the same time."""
        if tools:
            raise ConfigError("the provider holdfast/ calls no tools: use hf/ for such a task")
        asked = (config.max_tokens or self.max_tokens(), prompt_of(input))
        return output_of(self.model_name, await self._batches.ask(asked))

    def _answer(self, asked: Sequence[tuple[int, Any]]) -> list[Any]:
        from holdfast.evaluation.generate import replies

        ask = partial(replies, self._loaded.model, self._loaded.tokenizer, batch_size=self._size)
        found: dict[int, Any] = {}
        for limit in {limit for limit, _ in asked}:
            places = [i for i, (own, _) in enumerate(asked) if own == limit]
            said = ask([asked[i][1] for i in places], max_new_tokens=limit)
            found |= dict(zip(places, said, strict=True))
        return [found[i] for i in range(len(asked))]

    def max_tokens(self) -> int:
        """Return the longest answer where a task names none."""
        return 64

    def max_connections(self) -> int:
        """Return how many are asked at the same time: a batch."""
        return self._size


def _config(model: str, given: Mapping[str, Any]) -> EvaluateConfig:
    """Return what ``holdfast evaluate`` would be given for this model."""
    for name in given:
        if name not in _TAKEN:
            known = f"the provider holdfast/ takes {', '.join(_TAKEN)}"
            raise ConfigError(f"-M {name}: {known}.{nearest(name, _TAKEN)}")
    given = {name: as_typed(value) for name, value in given.items()}
    paths = {name: Path(given[name]) for name in _PATHS if given.get(name) is not None}
    asked: dict[str, Any] = {"model": model, **given, **paths}
    config = EvaluateConfig(**asked)
    check_given(config)
    return config


def _loaded(config: EvaluateConfig) -> Any:
    from holdfast.inputs.guards.network import local_only, texts_in
    from holdfast.inputs.models import model_of

    with local_only(texts_in([config.model])):
        return model_of(config)
