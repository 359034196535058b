"""The command's options are the analysis's own; prompts are read whatever stands beside them."""

import json
from dataclasses import fields

import pytest

from holdfast.analysis.pipeline import AnalysisSettings
from holdfast.analysis.settings import AnalysisOptions
from holdfast.cli.shell.field_docs import field_docs
from holdfast.errors import DataError
from holdfast.inputs.configs import AnalyzeConfig
from holdfast.inputs.prompts import load_prompts, organism_ood


def test_options_are_the_settings_of_the_analysis():
    chosen = {f.name: f for f in fields(AnalysisOptions)}
    assert {f.name for f in fields(AnalysisSettings)} == {*chosen, "cached"}
    assert {f.name for f in fields(AnalyzeConfig)} >= set(chosen)


def test_every_option_has_help():
    docs = field_docs(AnalyzeConfig)
    assert all(docs[f.name] for f in fields(AnalyzeConfig))


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def test_a_conversation_is_cut_before_its_answer(tmp_path):
    talk = [
        {"role": "system", "content": "be"},
        {"role": "user", "content": "ask"},
        {"role": "assistant", "content": "answer"},
    ]
    name = write(tmp_path / "a.jsonl", {"messages": talk}, {"messages": talk[:2]})
    first, second = load_prompts(name, "harmful")
    assert first["prompt"] == second["prompt"] == talk[:2]
    assert first["completion"] == []
    assert [first["row"], second["row"]] == [1, 2]


def test_a_column_is_read_by_its_name(tmp_path):
    name = write(tmp_path / "a.jsonl", {"ask": "one", "prompt": "other", "completion": 5})
    assert load_prompts(name, "benign", "ask")[0]["prompt"][0]["content"] == "one"
    with pytest.raises(DataError, match=r"row 1: column 'asks' is missing.*'ask'"):
        load_prompts(name, "benign", "asks")


def test_malformed_prompts_are_refused_by_row(tmp_path):
    name = write(tmp_path / "a.jsonl", {"prompt": "one"}, {"prompt": ""})
    with pytest.raises(DataError, match="row 2: 'prompt' is empty"):
        load_prompts(name, "harmful")
    assert len(load_prompts(name, "harmful", limit=1)) == 1


def test_the_organism_brings_prompts_of_another_kind():
    harmful, benign = organism_ood()
    assert len(harmful) == len(benign) == 60
    train = {str(row["prompt"]) for row in load_prompts("organism", "harmful")}
    assert not train & {str(row["prompt"]) for row in harmful}
