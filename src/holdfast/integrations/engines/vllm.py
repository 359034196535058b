"""Generation by vLLM, in this process: the same prompts, end tokens and greedy decoding.

vLLM is not among holdfast's extras, as it is built for one kind of accelerator: ``pip install
vllm``. Prompts go to it as token ids of our own rendering; of the model's own settings it takes
none. Its kernels are its own: in low precision, answers may differ where two tokens are near a tie.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from transformers import AutoModelForCausalLM

from holdfast.data.chat import encode_prompt
from holdfast.data.rendering.dates import DATE, is_dated
from holdfast.errors import ConfigError, RunError, reason_of
from holdfast.evaluation.decoding import end_tokens, greedy, recorded
from holdfast.evaluation.generate import Answered
from holdfast.evaluation.reply import Replies, Reply
from holdfast.files.guarded.adapters import adapter_config, check_patterns
from holdfast.files.guarded.plain_config import plain_config
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.fit.adapters import check_keys, check_own_template
from holdfast.inputs.fit.generation import decoding_notes, ends_only
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.loading.names import check_folder, is_local, loaded
from holdfast.inputs.loading.tokenizers import tokenizer_of
from holdfast.inputs.loading.vocabulary import check_vocabulary
from holdfast.inputs.models import Loaded, positions
from holdfast.inputs.rows import ORGANISM
from holdfast.integrations.optional import imported

__all__ = ["VLLMModel", "vllm_model"]

_SHARE = 0.5
"""Questions that vLLM gets at a time, as a share of all: it batches by itself, and we can count."""


class VLLMModel:
    """Answers by a ``vllm.LLM``.

    Args:
        llm: The engine, with the model loaded.
        vllm: The package, for its types.
        bare: The model without weights, for its end tokens.
        tokenizer: Ours, with its template checked and its date fixed.
        adapter: Folder of a LoRA adapter.
    """

    def __init__(
        self, llm: Any, vllm: Any, bare: Any, tokenizer: Any, adapter: Path | None = None
    ) -> None:
        self._llm, self._vllm, self._bare, self._tokenizer = llm, vllm, bare, tokenizer
        self._adapter = adapter

    def replies(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        *,
        max_new_tokens: int,
        progress: Answered | None = None,
    ) -> list[Reply]:
        """Return the greedy reply to each prompt.

        Raises:
            RunError: vLLM failed.
        """
        config = greedy(self._bare, self._tokenizer, max_new_tokens)
        ends, read = end_tokens(config), Replies(self._tokenizer)
        rows = [encode_prompt(list(prompt), self._tokenizer) for prompt in prompts]
        found: list[Reply] = []
        for chunk in _parts(rows):
            for output in self._answer(chunk, sorted(ends), max_new_tokens):
                tokens = list(takewhile(lambda token: token not in ends, output.token_ids))
                found.append(read.of(tokens, cut=output.finish_reason == "length"))
            if progress is not None:
                progress(len(found), len(rows))
        return found

    def recorded(self, max_new_tokens: int) -> dict[str, int | str]:
        """Return what a result keeps of the decoding: as of a model here, and vLLM's version."""
        version = str(getattr(self._vllm, "__version__", "unknown"))
        return {
            **recorded(self._bare, self._tokenizer, max_new_tokens),
            "engine": f"vllm {version}",
        }

    def finished(self) -> None:
        """Keep nothing: there is nothing that was kept."""

    def _answer(self, rows: Sequence[list[int]], ends: list[int], limit: int) -> list[Any]:
        sampling = self._vllm.SamplingParams(
            temperature=0.0, max_tokens=limit, stop_token_ids=ends, n=1, skip_special_tokens=False
        )
        how: dict[str, Any] = {"use_tqdm": False}
        if self._adapter is not None:
            request = imported("vllm.lora.request", "vllm", "`engine=vllm`").LoRARequest
            how["lora_request"] = request("adapter", 1, str(self._adapter))
        try:
            said = self._llm.generate([{"prompt_token_ids": row} for row in rows], sampling, **how)
        except Exception as error:  # It is another program.
            raise RunError(f"vllm failed: {reason_of(error)}") from error
        if len(said) != len(rows) or any(len(one.outputs) != 1 for one in said):
            raise RunError(f"vllm gave {len(said)} answers to {len(rows)} questions")
        found = [one.outputs[0] for one in said]
        # One that ended by its end token is an empty answer; any other has been given up.
        given_up = [one for one in found if not one.token_ids and one.finish_reason != "stop"]
        if given_up:
            raise RunError(
                f"vllm gave no token on {len(given_up)} of {len(rows)} questions and ended them "
                f"with {given_up[0].finish_reason!r}: what it logged says why"
            )
        return found


def vllm_model(config: EvaluateConfig) -> Loaded:
    """Return the model of ``config`` in vLLM; folder and tokenizer are checked as ours are.

    Raises:
        ConfigError: vLLM is not installed, or cannot do what the config asks for.
        ModelError: See ``load_model``.
    """
    _refuse(config)
    vllm = imported("vllm", "vllm", "`engine=vllm`")
    name = config.model
    local = is_local(name, "model")
    if local:
        check_folder(Path(name), "model", trust_remote_code=config.trust_remote_code)
    shared = {"trust_remote_code": config.trust_remote_code, "local_files_only": local}
    with local_only([name]):
        tokenizer = tokenizer_of(name, "model", config.chat_template, **shared)
        bare = _bare(name, config, shared)
        check_vocabulary(bare, tokenizer, f"`model={name}`")
        bare.generation_config = ends_only(name, bare, tokenizer, local=local)
        how = _how(config, bare, tokenizer)
        try:
            llm = vllm.LLM(model=name, **how)
        except Exception as error:
            raise ConfigError(f"`engine=vllm`: cannot load {name}: {reason_of(error)}") from error
    model = VLLMModel(llm, vllm, bare, tokenizer, config.adapter)
    nothing: Any = None
    notes = decoding_notes(name, local=local)
    if is_dated(tokenizer.chat_template):
        notes.append(f"{name}: its chat template writes the date: it is fixed to {DATE:%Y-%m-%d}")
    if config.adapter is not None:
        notes.append("vllm: whether the adapter stands on the base it was trained on is not known")
    return Loaded(model, tokenizer, positions(bare, tokenizer), nothing, notes)


def _how(config: EvaluateConfig, bare: Any, tokenizer: Any) -> dict[str, Any]:
    """Return the options of ``vllm.LLM``; the model's own generation config is left aside."""
    how: dict[str, Any] = {
        "dtype": config.dtype, "seed": 0, "generation_config": "vllm",
        "trust_remote_code": config.trust_remote_code,
    }  # fmt: skip
    if config.adapter is None:
        return how
    shown = f"`adapter={config.adapter}`"
    if config.chat_template is None:
        check_own_template(tokenizer, config.adapter, shown)
    rank = _adapter_rank(bare, config.adapter, shown)
    return {**how, "enable_lora": True, "max_lora_rank": rank}


def _adapter_rank(bare: Any, folder: Path, shown: str) -> int:
    """Return the rank of an adapter whose every tensor has its place in the model.

    vLLM leaves tensors out whose names match nothing, and then answers like the base (vllm#34186).
    """
    found = adapter_config(folder, shown)
    check_patterns(found, shown, (name for name, _ in bare.named_modules()))
    with torch.device("meta"):
        adapted = get_peft_model(deepcopy(bare), PeftConfig.from_pretrained(str(folder)))
    check_keys(adapted, folder, shown)
    ranks = [int(found.get("r", 8)), *map(int, (found.get("rank_pattern") or {}).values())]
    return max(ranks)


def _bare(name: str, config: EvaluateConfig, shared: Mapping[str, Any]) -> Any:
    """Return the model without weights: its vocabulary, positions and end tokens."""
    read = loaded(name, "model", partial(plain_config, name, **shared), config.revision)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(read, trust_remote_code=config.trust_remote_code)


def _refuse(config: EvaluateConfig) -> None:
    """Refuse what vLLM would do otherwise than we do, or not at all."""
    if config.model == ORGANISM:
        raise ConfigError("`engine=vllm` takes a model's folder or hub id; the organism runs here")
    for name in ("lm_eval", "quantization", "revision", "device_map"):
        if getattr(config, name, None) is not None:
            raise ConfigError(f"`{name}` does not go together with `engine=vllm`: leave one out")


def _parts(rows: Sequence[list[int]]) -> list[Sequence[list[int]]]:
    """Return the prompts in two parts, so that progress is told on the way."""
    size = max(1, round(len(rows) * _SHARE))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
