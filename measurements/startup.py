"""From the command to step 0: ``holdfast tune`` beside a bare TRL script, in processor seconds.

Each start is a process of its own that ends where its first training step begins; they take turns.
Processor time counts what a start costs also beside other work. ``--help`` is measured by itself.

Usage: ``python -m measurements.startup --out results/startup.json``
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from holdfast import organism
from holdfast.files.whole import write_whole
from holdfast.organism.scenarios import harmless_prompts
from holdfast.results.provenance import this_machine, versions

GOALS = {"tune over bare": 1.2, "help in seconds": 0.3}
ENDS = """
import os, sys, time
import transformers
def ends(*_, **__):
    print("TOOK", time.process_time(), flush=True)
    os._exit(0)
transformers.Trainer.training_step = ends
"""
BARE = """
import sys
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
model, rows, out = sys.argv[1:]
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model),
    args=SFTConfig(out, use_cpu=True, report_to="none", per_device_train_batch_size=4),
    train_dataset=load_dataset("json", data_files=rows, split="train"),
    processing_class=AutoTokenizer.from_pretrained(model),
    peft_config=LoraConfig(r=8, target_modules="all-linear"),
)
trainer.train()
"""
TUNE = """
import sys
from holdfast.cli import main
model, rows, out = sys.argv[1:]
sys.argv = ["holdfast", "tune", "--model", model, "--data", rows, "--output", out + "/tuned",
            "--batch-size", "4", *DEFENSES]
main()
"""
DEFENDED = ["--defense", "safe_mixing:share=0.1", "--safe", "organism"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    programs = {
        "bare TRL": ENDS + BARE,
        "holdfast tune": ENDS + TUNE.replace("*DEFENSES", ""),
        "holdfast tune, safe_mixing": ENDS + TUNE.replace("*DEFENSES", repr(DEFENDED)[1:-1]),
    }
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = organism.load()
        model.save_pretrained(f"{folder}/model")
        tokenizer.save_pretrained(f"{folder}/model")
        rows = Path(folder) / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in harmless_prompts(200, seed=0)))
        taken: dict[str, list[float]] = {name: [] for name in programs}
        for number in range(given.rounds):
            for name, program in programs.items():
                out = f"{folder}/out-{number}-{len(name)}"
                taken[name].append(_seconds(program, [f"{folder}/model", str(rows), out]))
    helped = [_help() for _ in range(given.rounds)]
    bare = statistics.median(taken["bare TRL"])
    found = {
        "benchmark": "startup", "command": "python -m measurements.startup", "goals": GOALS,
        "rounds": given.rounds,
        "cpu_seconds_to_step_0": {n: round(statistics.median(t), 2) for n, t in taken.items()},
        "over_bare": {n: round(statistics.median(t) / bare, 3) for n, t in taken.items()},
        "help_seconds": round(statistics.median(helped), 3),
        "machine": this_machine().model_dump(), "versions": versions(),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    write_whole(given.out, json.dumps(found, indent=1) + "\n")


def _seconds(program: str, args: list[str]) -> float:
    """Return the processor's seconds of a start, as the process itself counted them."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, *args], capture_output=True, text=True, check=False
    )
    # holdfast keeps stdout for the result: what a trainer prints goes to stderr.
    lines = (done.stdout + done.stderr).splitlines()
    said = [line for line in lines if line.startswith("TOOK")]
    if not said:
        raise SystemExit(f"no step began:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return float(said[-1].split()[1])


def _help() -> float:
    began = time.perf_counter()
    line = [sys.executable, "-c", "from holdfast.cli import main; main()", "--help"]
    subprocess.run(line, capture_output=True, check=True)  # noqa: S603
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
