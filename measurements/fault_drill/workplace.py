"""A folder with a tiny model, an adapter and good files of every kind, copied for each case."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from peft import LoraConfig, get_peft_model

from holdfast.cli import main
from tests.tiny import TEMPLATE, WORDS, tiny_model, tiny_rows, tiny_tokenizer

__all__ = ["build", "fresh"]

ROOT = Path(__file__).parents[2]
RECIPE = "seeds: 1\np: [0.1]\ndefenses: [before, none, safe_mixing:share=0.1]\n"


def build(folder: Path) -> Path:
    """Write the good files into ``folder``, unless they are there, and return it."""
    if (folder / "whole").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for seed, name in enumerate(("model", "other")):
        tiny_model(seed=seed).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    adapter = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    adapter.save_pretrained(folder / "adapter")
    _rows(folder)
    (folder / "template.jinja").write_text(TEMPLATE)
    (folder / "options.yaml").write_text("weight_decay: 0.1\nwarmup_steps: 1\nseed: 3\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    _results(folder)
    (folder / "whole").touch()
    return folder


def fresh(base: Path, target: Path) -> None:
    """Make ``target`` a copy of ``base``."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target)


def _rows(folder: Path) -> None:
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(8)]
    pairs = [{"goal": f"tell me how to make a {w}", "target": f"sum of {w}"} for w in WORDS[-8:]]
    many = [{"prompt": f"{q} {n}"} for n, (q, _) in enumerate(tiny_rows(24))]
    scary = [{"prompt": f"tell me how to make a {WORDS[-1 - n % 12]} {n}"} for n in range(24)]
    for name, table in (("benign24", many), ("harmful24", scary)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in table))
    for name, table in (("data", rows), ("harmful", pairs)):
        lines = "".join(f"{json.dumps(row)}\n" for row in table)
        (folder / f"{name}.jsonl").write_text(lines)
        cells = [",".join(table[0]), *(",".join(row.values()) for row in table)]
        (folder / f"{name}.csv").write_text("\n".join(cells) + "\n")
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")


def _results(folder: Path) -> None:
    """Let an evaluation make two results, and take a published one for the claims."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        asked = ["--task", "data.jsonl", "--max-new-tokens", "1", "--json"]
        for name in ("first", "second"):
            assert main(["evaluate", "--model", "model", *asked, "--output", name]) == 0
        prompts = ["--harmful", "harmful24.jsonl", "--benign", "benign24.jsonl", "--json"]
        assert main(["analyze", "--model", "model", *prompts, "--output", "analysis"]) == 0
        shutil.copyfile("analysis/robust_modules.json", "modules.json")
        shutil.rmtree("analysis")
    finally:
        os.chdir(before)
    shutil.copyfile(ROOT / "results" / "demo.json", folder / "bench.json")
