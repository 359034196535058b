"""Bytes that live at the peak of a run, for shapes of models, that the formulae are held against.

Each point is two optimizer steps of a Llama with random weights on the CPU, in float32, with each
variant of ``cost_variants``. Writes the points that ``tests/unit/measurements/test_scaling.py``
holds the formulae of ``docs/scaling_model.py`` against.
"""

import argparse
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, PrinterCallback, TrainingArguments

from docs.scaling_model import Job, Shape
from holdfast import Defense, Panacea, SecureTrainer, SecurityVectors
from holdfast.data.chat import collate
from holdfast.results.provenance import this_machine, versions
from measurements.live_bytes import live_bytes

ROWS, STEPS = 4, 2
POINTS = (
    Job(Shape(256, 4, 768, 256, 4_000), tokens=64, batch=4),
    Job(Shape(256, 8, 1024, 128, 2_000), tokens=128, batch=4, lora_rank=8),
    Job(Shape(384, 4, 1024, 384, 16_000), tokens=64, batch=2),
    Job(Shape(256, 8, 1024, 128, 2_000), tokens=256, batch=4, recompute=True),
    Job(Shape(384, 4, 1024, 384, 16_000), tokens=64, batch=2, lora_rank=16),
)
"""Models in which weights, activations and the head take turns to be the larger part."""


def rows(job: Job, seed: int) -> list[dict[str, list[int]]]:
    """Return random rows of equal length; half of each is the answer."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, job.shape.vocabulary, (ROWS, job.tokens), generator=rng).tolist()
    half = job.tokens // 2
    return [{"input_ids": i, "labels": [-100] * half + i[half:]} for i in ids]


def variants(job: Job) -> dict[str, list[Defense]]:
    """Return what is measured; gates are open, since the rows are random."""
    size = job.batch
    panacea = {"harmful": rows(job, 1), "rho": 0.1, "batch_size": size}
    wide = {"max_harmful_nll": 1e9, "max_benign_kl": 1e9}
    vector = SecurityVectors(
        harmful=rows(job, 1), benign=rows(job, 2), epochs=1, batch_size=size, **wide
    )
    return {
        "plain": [],
        "post-hoc": [Panacea(**panacea)],
        "in-loop": [Panacea(**panacea, mode="in-loop", every=1)],
        "vector": [vector],
    }


def model(job: Job) -> Any:
    """Return a Llama of the shape, with a LoRA adapter if asked."""
    shape = job.shape
    config = AutoConfig.for_model(
        "llama", vocab_size=shape.vocabulary, hidden_size=shape.hidden,
        intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 64, num_key_value_heads=shape.keys // 64,
        max_position_embeddings=job.tokens, tie_word_embeddings=False,
    )  # fmt: skip
    bare = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if job.lora_rank == 0:
        return bare
    adapter = LoraConfig(r=job.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(bare, adapter)


def peak(job: Job, defenses: list[Defense]) -> int:
    """Return the bytes that live at the peak of two steps, the model among them."""
    gc.collect()
    with live_bytes() as live:
        trainer = SecureTrainer(
            model=model(job),
            args=TrainingArguments(
                output_dir="unused", max_steps=STEPS, per_device_train_batch_size=job.batch,
                learning_rate=1e-4, save_strategy="no", report_to="none", use_cpu=True,
                disable_tqdm=True, logging_strategy="no", gradient_checkpointing=job.recompute,
            ),
            train_dataset=rows(job, 0),
            data_collator=lambda batch: collate(batch, 0),
            defenses=defenses,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return live.peak


def measured(job: Job) -> dict[str, Any]:
    """Return a point: the job, and each variant's MiB."""
    found = {name: peak(job, defenses) / 2**20 for name, defenses in variants(job).items()}
    sys.stderr.write(f"POINT {found}\n")
    return {
        "job": job.to_json(),
        "measured_mib": {name: round(mib, 2) for name, mib in found.items()},
    }


def main() -> None:
    """Measure every point and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    result = {
        "benchmark": "scaling",
        "points": [measured(job) for job in POINTS],
        "machine": this_machine().model_dump(),
        "versions": versions(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()
