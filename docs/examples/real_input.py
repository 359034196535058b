"""Real text through both defenses: GSM8K as the user's data, AdvBench as the defender's pairs.

A Qwen2-shaped model of half a million random weights, with a byte-level BPE tokenizer trained on
the spot, is warmed up and then tuned with LoRA and accumulation, in bfloat16 autocast where the CPU
has it. It proves the path: losses fall, the perturbation has its length, the vector leaves the base
as it was. It proves nothing about safety: the model was never aligned and knows no harm.

Usage: ``python docs/examples/real_input.py DATA_FOLDER [OUTPUT_FOLDER]``; the data folder holds
``gsm8k_train_2000.jsonl`` and ``advbench.csv``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed
from trl.trainer.sft_config import SFTConfig

from holdfast import Panacea, SecureSFTTrainer, SecurityVectors
from holdfast.data.load import load_examples
from holdfast.ops.gradients import global_norm
from holdfast.ops.modules import plain_name
from holdfast.ops.weights import copied

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RHO = 0.05


def tokenizer_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of 1,000 tokens with ChatML markers."""
    bpe = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(texts, vocab_size=1000, special_tokens=special, show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,  # The wrapper offers no public way out.
        pad_token="<|endoftext|>", eos_token="<|im_end|>", chat_template=TEMPLATE,
    )  # fmt: skip


def qwen2(tokenizer: PreTrainedTokenizerFast) -> Any:
    """Return a small Qwen2 with grouped-query attention and random weights."""
    config = AutoConfig.for_model(
        "qwen2", vocab_size=len(tokenizer), hidden_size=96, intermediate_size=192,
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def has_bf16() -> bool:
    """Tell whether the CPU computes in bfloat16; elsewhere it is emulated and very slow."""
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def settings(output: Path, **options: Any) -> SFTConfig:
    """Return what both runs share: four rows at a time, two times per step."""
    return SFTConfig(
        output_dir=str(output), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        logging_steps=3, save_strategy="no", report_to="none", use_cpu=True, bf16=has_bf16(),
        max_length=192, disable_tqdm=True, lr_scheduler_type="constant", **options,
    )  # fmt: skip


def losses(trainer: Any) -> list[float]:
    """Return the user's loss at each logged step, nats per token."""
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def main(data: Path, output: Path) -> dict[str, Any]:
    """Run the example and return the figures it prints."""
    set_seed(0)
    columns = {"prompt": "question", "completion": "answer"}
    user = load_examples(data / "gsm8k_train_2000.jsonl", columns=columns, limit=96)
    pairs = {"prompt": "goal", "completion": "target"}
    harmful = load_examples(data / "advbench.csv", columns=pairs, limit=50)
    tokenizer = tokenizer_of(
        [m["content"] for row in user for m in row["prompt"] + row["completion"]]
    )
    model = qwen2(tokenizer)

    warm = SecureSFTTrainer(
        model=model, processing_class=tokenizer, train_dataset=user,
        args=settings(output / "warm", max_steps=12, learning_rate=2e-3),
    )  # fmt: skip
    warm.train()

    base = copied(dict(model.named_parameters()))
    trainer = SecureSFTTrainer(
        model=model, processing_class=tokenizer, train_dataset=user,
        args=settings(output / "tuned", max_steps=12, learning_rate=1e-3),
        peft_config=LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"),
        defenses=[
            SecurityVectors(
                harmful=harmful, benign=user.select(range(32)), rows=50, lr=5e-3, epochs=5,
                max_harmful_nll=7.0, max_benign_kl=5.0,  # No real gate: no language is known.
            ),
            Panacea(harmful=harmful, rho=RHO),
        ],
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(output / "adapter"))
    vector, panacea = trainer.artifacts
    panacea.save(output)
    vector.save(output.with_name(output.name + "-artifacts"))
    now = {plain_name(name): p for name, p in trainer.model.named_parameters()}
    return {
        "user_loss": losses(trainer),
        "vector_loss": vector.report["vector_losses"],
        "gate": vector.documents["report"]["gate"],
        "perturbation_norm": global_norm(panacea.tensors["perturbation"]),
        "panacea_harmful_loss": panacea.report["harmful_loss"],
        "base_unchanged": all(torch.equal(now[name], weight) for name, weight in base.items()),
        "trace": trainer.trace.rows(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    target = Path(sys.argv[2] if len(sys.argv) > 2 else "runs/real_input")
    print(json.dumps(main(folder, target), indent=1))  # noqa: T201
