"""Damaged or altered states that a run is to go on from: the same weights come, or a refusal."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from measurements.fault_drill.kills import references
from measurements.fault_drill.runs import LOG, RUNS, ended, forked, model_in, stopped
from measurements.fault_drill.spoil import spoiled_json
from measurements.fault_drill.workplace import fresh

__all__ = ["damage_case"]

SEED = 13
_STATE = (".out.partial", ".out-artifacts.partial")
_INPUTS = ("model/model.safetensors", "model/config.json", "model/tokenizer.json", "data.jsonl",
           "template.jinja", "options.yaml", "harmful.csv")  # fmt: skip


def damage_case(number: int, base: Path, work: Path) -> dict[str, Any]:
    """Damage one thing of a stopped run, go on, and tell what came of it."""
    rng = random.Random(f"{SEED}-{number}")  # noqa: S311
    name = list(RUNS)[number % len(RUNS)]
    ready = work / f"stopped-{name}"
    if not ready.exists():
        stopped(base, work / "draft", RUNS[name], 9)
        (work / "draft").rename(ready)
    folder = work / "damaged"
    fresh(ready, folder)
    os.chdir(folder)
    way = rng.choice([_flipped, _flipped, _cut, _gone, _edited, _strange, _swapped, _input])
    what = way(rng, folder)
    code = ended(forked([*RUNS[name], "--resume"]))
    log = (folder / LOG).read_text(errors="replace")
    right, _ = references(base, work)[name]
    said = {"kind": way.__name__.strip("_"), "what": what, "code": code, "said": ascii(log[-300:])}
    if code == "hang" or "fault of holdfast" in log or "Traceback" in log:
        return {**said, "outcome": "hang" if code == "hang" else "fault"}
    if code == 0:
        same = model_in(folder / "out") == right
        return {**said, "outcome": "same" if same else "other weights"}
    return {**said, "outcome": "refused" if code == 2 else "stopped"}


def _file(rng: random.Random, folder: Path) -> Path:
    found = [p for top in _STATE for p in (folder / top).rglob("*") if p.is_file()]
    last = [p for p in found if "checkpoint-8" in p.parts]
    return rng.choice(sorted(last if rng.random() < 0.7 else found))


def _told(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))


def _flipped(rng: random.Random, folder: Path) -> str:
    return _flip(rng, _file(rng, folder), folder)


def _flip(rng: random.Random, file: Path, folder: Path) -> str:
    content = bytearray(file.read_bytes() or b"\0")
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    file.write_bytes(bytes(content))
    return f"{_told(file, folder)} at {place}"


def _cut(rng: random.Random, folder: Path) -> str:
    file = _file(rng, folder)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content) + 1) - 1])
    return _told(file, folder)


def _gone(rng: random.Random, folder: Path) -> str:
    file = _file(rng, folder)
    if rng.random() < 0.3:
        shutil.rmtree(file.parent)
        return _told(file.parent, folder)
    file.unlink()
    return _told(file, folder)


def _edited(rng: random.Random, folder: Path) -> str:
    found = [p for top in _STATE for p in (folder / top).rglob("*.json")]
    file = rng.choice(sorted(found))
    text = spoiled_json(rng, json.loads(file.read_text()))
    if file.name == "trainer_state.json":
        state = {**json.loads(file.read_text()), "global_step": rng.choice([0, 2, 11, 99])}
        text = json.dumps(state)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return _told(file, folder)


def _strange(rng: random.Random, folder: Path) -> str:
    names = ("pytorch_model.bin", "model.safetensors", "optimizer.bin", "scaler.pt", "x.json",
             "adapter/adapter_model.safetensors", "model.safetensors.index.json")  # fmt: skip
    target = _file(rng, folder).parent / rng.choice(names)
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(folder / "model" / "model.safetensors", target)
    return _told(target, folder)


def _swapped(rng: random.Random, folder: Path) -> str:
    """Put a file, or all, of one checkpoint in the place of another's."""
    root = folder / ".out.partial" / "checkpoints"
    last, before = root / "checkpoint-8", root / "checkpoint-6"
    if rng.random() < 0.3:
        shutil.rmtree(last)
        before.rename(last)
        return "checkpoint-6 is called checkpoint-8"
    names = sorted(p.name for p in last.iterdir() if p.is_file())
    name = rng.choice(names)
    shutil.copyfile(before / name, last / name)
    return f"{name} of checkpoint-6 in checkpoint-8"


def _input(rng: random.Random, folder: Path) -> str:
    return _flip(rng, folder / rng.choice(_INPUTS), folder)
