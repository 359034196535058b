"""What of vLLM's interface is used here, played by transformers on a tiny model.

As vLLM 0.11 has it: ``LLM(model, **options)``, ``generate`` of token ids to outputs with
``token_ids`` (the stop token included) and ``finish_reason``.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, GenerationConfig


class SamplingParams(SimpleNamespace):
    pass


class LoRARequest(SimpleNamespace):
    def __init__(self, lora_name, lora_int_id, lora_path):
        super().__init__(name=lora_name, id=lora_int_id, path=lora_path)


class LLM:
    made: ClassVar[list] = []

    def __init__(self, model, **options):
        self.options = options
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=options["dtype"]).eval()
        self.model.generation_config = GenerationConfig()  # As generation_config="vllm" has it.
        assert options["generation_config"] == "vllm"
        self.calls = []
        LLM.made.append(self)

    def generate(self, prompts, sampling, use_tqdm=True, lora_request=None):
        self.calls.append((len(prompts), sampling, use_tqdm))
        model = self.model
        if lora_request is not None:
            model = PeftModel.from_pretrained(model, lora_request.path).eval()
        return [self._output(model, row["prompt_token_ids"], sampling) for row in prompts]

    def _output(self, model, row, sampling):
        config = GenerationConfig(
            do_sample=False, max_new_tokens=sampling.max_tokens, pad_token_id=0,
            eos_token_id=sampling.stop_token_ids, repetition_penalty=1.0, temperature=1.0,
        )  # fmt: skip
        ids = torch.tensor([row])
        new = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
        )[0, len(row) :].tolist()
        reason = "stop" if new[-1] in sampling.stop_token_ids else "length"
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=new, finish_reason=reason)])


def installed(monkeypatch):
    """Put the stub where ``import vllm`` finds it, and return its LLM."""
    vllm, lora, request = (ModuleType(n) for n in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM, vllm.SamplingParams, vllm.__version__ = LLM, SamplingParams, "0.11.0"
    request.LoRARequest = LoRARequest
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    LLM.made.clear()
    return LLM
