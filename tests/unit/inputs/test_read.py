"""All that a command is given is refused in one place, the cheap things first."""

import json
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from holdfast.errors import ConfigError, InputError
from holdfast.files.folders import ModelFolders, WholeFolder
from holdfast.inputs.configs import (
    AlignConfig,
    AnalyzeConfig,
    EvaluateConfig,
    RepairConfig,
    TuneConfig,
)
from holdfast.inputs.read import PATHS, read, read_prompts
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

CONFIGS = (TuneConfig, AlignConfig, RepairConfig, EvaluateConfig, AnalyzeConfig)
OUT = Path("out")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(6)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def silent(*_: object) -> None:
    """Takes progress."""


def reading(config):
    if isinstance(config, AnalyzeConfig):
        return read_prompts(config, WholeFolder(config.output))
    if isinstance(config, EvaluateConfig):
        return read(config, None, silent)
    folders = ModelFolders(config.output, config.artifacts, overwrite=config.overwrite)
    return read(config, folders, silent)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_path_of_a_config_is_spared_by_the_output(config):
    hints = get_type_hints(config)
    paths = {f.name for f in fields(config) if hints[f.name] in (Path, Path | None)}
    assert paths - {"output", "artifacts", "export"} <= set(PATHS)


def test_files_of_questions_are_spared_as_rows_are():
    OUT.mkdir()
    Path("data.jsonl").rename(OUT / "mine.jsonl")
    given = TuneConfig(
        model="m", data="d", output=OUT, overwrite=True, test_task=str(OUT / "mine.jsonl")
    )
    with pytest.raises(ConfigError, match="which would be lost"):
        reading(given)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (TuneConfig(model="m", data="d", output=OUT, limit=0), "limit"),
        (TuneConfig(model="m", data="d", output=OUT, max_new_tokens=0), "max_new_tokens"),
        (RepairConfig(model="m", output=OUT, test_limit=0), "test_limit"),
        (RepairConfig(model="m", output=OUT, harmful_limit=0), "harmful_limit"),
        (EvaluateConfig(model="m", batch_size=0), "batch_size"),
        (AnalyzeConfig(model="m", harmful="h", benign="b", output=OUT, limit=0), "limit"),
    ],
)
def test_counts_below_one_are_refused_by_their_field(config, field):
    with pytest.raises(ConfigError, match=f"`{field}=0` is out of range, expected at least 1"):
        reading(config)


def test_what_is_wrong_is_told_in_the_order_of_its_cost():
    OUT.mkdir()
    (OUT / "mine.txt").touch()
    wrong = {
        "max_new_tokens": (0, 64),
        "lora_r": (0, 8),
        "defense": (["panacae"], ["panacea"]),
        "output": (OUT, Path("new")),
        "data": ("none.jsonl", "data.jsonl"),
        "harmful": (None, "data.jsonl"),
        "test_task": ("none.jsonl", "data.jsonl"),
        "judge": ("nobody", None),
        "model": ("nowhere", "model"),
    }
    given = {name: bad for name, (bad, _) in wrong.items()} | {"lora": True}
    said = ["max_new_tokens", "lora_r", "panacae", "exists", "none.jsonl", "harmful",
            "none.jsonl", "nobody", "nowhere"]  # fmt: skip
    for (name, (_, good)), words in zip(wrong.items(), said, strict=True):
        with pytest.raises(InputError, match=words):
            reading(TuneConfig(**given))
        given[name] = good
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    found = reading(TuneConfig(**given))
    assert [defense.card.name for defense in found.defenses] == ["panacea"]
    assert len(found.rows) == len(found.examiner.items) == 6
    assert set(found.hashes) == {"data", "harmful"}
    assert found.options["max_length"] == 128
    assert not Path("new").exists()
