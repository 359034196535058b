"""Section 8 of the issue: every bad input is one line that names file, row and fix; exit 2."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.cli import main
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer


@dataclass
class Place:
    """A working folder with a model and good data in it."""

    folder: Path

    def write(self, name: str, *rows: object) -> None:
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines))

    def config(self, **changes: object) -> None:
        path = self.folder / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    def snapshot(self) -> dict[str, str]:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        found = {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
        return found | {str(f): "folder" for f in self.folder.rglob("*") if f.is_dir()}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    place = Place(tmp_path)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(8)]
    place.write("data.jsonl", *rows)
    place.write("harmful.jsonl", *rows[:4])
    return place


TUNE = ["tune", "--model", "model", "--data", "data.jsonl", "--output", "out", "--max-steps", "1"]
PANACEA = [*TUNE, "--harmful", "harmful.jsonl", "--defense"]
GOOD = {"prompt": "q", "completion": "a"}
Setup = Callable[[Place], object]


def nothing(_: Place) -> None:
    """The files are good; the command line is not."""


def data(*rows: object) -> Setup:
    return lambda place: place.write("data.jsonl", *rows)


def without_weights(place: Place) -> None:
    (place.folder / "model/model.safetensors").unlink()


def pickled(place: Place) -> None:
    without_weights(place)
    torch.save({}, place.folder / "model/pytorch_model.bin")


def half_the_weights(place: Place) -> None:
    tiny_model().model.save_pretrained(place.folder / "model")


def truncated_weights(place: Place) -> None:
    path = place.folder / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def without_template(place: Place) -> None:
    (place.folder / "model/chat_template.jinja").unlink()


def remote_code(place: Place) -> None:
    place.config(model_type="stranger", auto_map={"AutoModelForCausalLM": "m.M"})


def present(place: Place) -> None:
    (place.folder / "out").mkdir()
    (place.folder / "out/precious.txt").write_text("mine")


LONG = {"prompt": "what " * 200, "completion": "a"}
CASES: dict[str, tuple[Setup, list[str], list[str]]] = {
    "missing file": (nothing, [*TUNE, "--data", "no.jsonl"], ["no.jsonl", "file not found"]),
    "missing file that looks like a hub id": (
        nothing, [*TUNE, "--data", "model/no.jsonl"], ["model/no.jsonl", "file not found"],
    ),
    "empty file": (data(), TUNE, ["data.jsonl", "is empty"]),
    "malformed line": (
        data(GOOD, '{"prompt": '), TUNE, ["data.jsonl, row 2", "not valid JSON", "one JSON object"],
    ),
    "missing column": (
        data(GOOD, {"prompt": "q", "completoin": "a"}), TUNE,
        ["data.jsonl, row 2", "'completion' is missing", "Did you mean 'completoin'"],
    ),
    "wrong type": (data({"prompt": 3, "completion": "a"}), TUNE, ["row 1", "is a number", "text"]),
    "empty answer": (
        data(GOOD, {"prompt": "q", "completion": ""}), TUNE,
        ["data.jsonl, row 2", "'completion' is empty", "remove the row"],
    ),
    "row longer than the model": (
        data(GOOD, LONG), TUNE, ["data.jsonl, row 2", "tokens and the model takes 128", "shorten"],
    ),
    "harmful row longer than the model": (
        lambda place: place.write("harmful.jsonl", GOOD, LONG), [*PANACEA, "panacea"],
        ["harmful.jsonl, row 2", "tokens and the model takes 128"],
    ),
    "no chat template": (without_template, TUNE, ["no chat template", "--chat-template"]),
    "unknown defense": (nothing, [*PANACEA, "panacae"], ["'panacae'", "Did you mean 'panacea'"]),
    "misspelt key": (
        nothing, [*PANACEA, "panacea:roh=1"], ["panacea", "'roh'", "Did you mean 'rho'"],
    ),
    "value out of range": (
        nothing, [*PANACEA, "panacea:rho=-1"], ["panacea", "rho=-1", "0"],
    ),
    "value of another type": (
        nothing, [*PANACEA, "panacea:every=often"], ["panacea", "every='often'", "whole number"],
    ),
    "NaN": (nothing, [*PANACEA, "panacea:rho=nan"], ["rho='nan'", "finite number"]),
    "no equals sign": (nothing, [*PANACEA, "panacea:rho"], ["'rho'", "key=value"]),
    "data in a spec": (nothing, [*PANACEA, "panacea:harmful=x"], ["--harmful FILE"]),
    "data of a defense missing": (
        nothing, [*TUNE, "--defense", "panacea"], ["panacea", "--harmful FILE"],
    ),
    "defense twice": (nothing, [*PANACEA, "panacea", "--defense", "panacea"], ["given twice"]),
    "no such model": (nothing, [*TUNE, "--model", "nowhere"], ["nowhere", "folder not found"]),
    "no weights": (without_weights, TUNE, ["model", "has no weights", "model.safetensors"]),
    "pickle": (pickled, TUNE, ["pytorch_model.bin", "pickle", "convert it to safetensors"]),
    "incomplete weights": (half_the_weights, TUNE, ["weights lack"]),
    "truncated weights": (truncated_weights, TUNE, ["model", "cannot be loaded"]),
    "remote code": (remote_code, TUNE, ["trust_remote_code", "off", "--trust-remote-code"]),
    "output present": (present, TUNE, ["out", "exists", "--overwrite"]),
    "output is the model": (
        nothing, [*TUNE, "--output", "model", "--overwrite"], ["holds model", "lost"],
    ),
    "output is here": (nothing, [*TUNE, "--output", ".", "--overwrite"], ["lost"]),
    "artifacts in the model's folder": (
        nothing, [*TUNE, "--artifacts", "out/kept"], ["--artifacts", "lies in", "apart"],
    ),
    "nothing to resume": (nothing, [*TUNE, "--resume"], ["--resume", "no checkpoint"]),
    "unknown option of SFTConfig": (
        lambda place: place.write("c.yaml", "learning_rat: 1"), [*TUNE, "--config", "c.yaml"],
        ["c.yaml", "'learning_rat'", "Did you mean 'learning_rate'"],
    ),
    "option of another type": (
        lambda place: place.write("c.yaml", "max_steps: many"), [*TUNE, "--config", "c.yaml"],
        ["c.yaml", "max_steps='many'", "whole number"],
    ),
    "malformed YAML": (
        lambda place: place.write("c.yaml", "a: 1", "b: [") , [*TUNE, "--config", "c.yaml"],
        ["c.yaml", "line", "not valid YAML"],
    ),
    "YAML list": (
        lambda place: place.write("c.yaml", "- 1"), [*TUNE, "--config", "c.yaml"], ["mapping"],
    ),
    "missing YAML": (nothing, [*TUNE, "--config", "c.yaml"], ["c.yaml", "file not found"]),
    "reserved option": (nothing, [*TUNE, "--set", "output_dir=x"], ["output_dir", "--output"]),
    "a bar of the trainer's": (
        nothing, [*TUNE, "--set", "disable_tqdm=true"], ["disable_tqdm", "bar of its own"],
    ),
    "learning rate": (nothing, [*TUNE, "--learning-rate", "-1"], ["learning_rate=-1", "least 0"]),
    "LoRA rank": (nothing, [*TUNE, "--lora", "--lora-r", "0"], ["--lora-r 0", "1 or more"]),
    "LoRA modules": (nothing, [*TUNE, "--lora", "--lora-targets", "nope"], ["nope"]),
    "columns": (nothing, [*TUNE, "--columns", "prompt"], ["--columns", "NAME=COLUMN"]),
    "columns of rows that are made": (
        nothing, [*TUNE, "--data", "organism", "--columns", "prompt=a,completion=b"],
        ["--columns prompt=a", "--data organism", "leave it out"],
    ),
    "a split of rows that are made": (
        nothing, [*TUNE, "--data", "organism", "--split", "test"], ["--split test", "leave it out"],
    ),
    "a split of a file": (nothing, [*TUNE, "--split", "test"], ["data.jsonl", "--split test"]),
    "a limit of rows that are not given": (
        nothing, [*TUNE, "--harmful-limit", "3"], ["--harmful-limit 3", "--harmful"],
    ),
    "columns of rows that are not given": (
        nothing, [*TUNE, "--harmful-columns", "prompt=goal"], ["--harmful-columns", "--harmful,"],
    ),
    "columns of questions that are not given": (
        nothing, ["evaluate", "--model", "organism", "--columns", "prompt=goal"],
        ["--columns prompt=goal", "none is given"],
    ),
    "columns of a kit's questions": (
        nothing, ["evaluate", "--model", "model", "--harmful", "advbench", "--columns", "prompt=a"],
        ["--columns prompt=a", "kits", "leave it out"],
    ),
    "columns of a kit's rows": (
        nothing, [*TUNE, "--harmful", "advbench", "--harmful-columns", "prompt=goal"],
        ["--harmful-columns", "advbench", "leave it out"],
    ),
    "usage": (nothing, ["tune"], ["Missing option", "--help"]),
    "no such flag": (nothing, [*TUNE, "--lorra"], ["--lorra"]),
    "no such command": (nothing, ["tunee"], ["tunee"]),
    "dtype": (nothing, [*TUNE, "--dtype", "int8"], ["int8"]),
    "low precision": (nothing, [*PANACEA, "panacea", "--dtype", "bfloat16"], ["bfloat16"]),
    "repair: no adapter": (
        nothing,
        ["repair", "--model", "model", "--adapter", "x", "--harmful", "harmful.jsonl",
         "--output", "out"],
        ["--adapter x", "adapter_config.json"],
    ),
    "repair: a tuning defense": (
        nothing,
        ["repair", "--model", "model", "--method", "security_vectors:kl_weight=0",
         "--harmful", "harmful.jsonl", "--output", "out"],
        ["security_vectors"],
    ),
    "repair: a drop of nothing": (
        nothing,
        ["repair", "--model", "model", "--harmful", "harmful.jsonl", "--max-task-drop", ".1",
         "--output", "out"],
        ["--max-task-drop", "--validation"],
    ),
    "evaluate: nothing to ask": (nothing, ["evaluate", "--model", "model"], ["nothing to ask"]),
    "evaluate: a question too long": (
        data(LONG), ["evaluate", "--model", "model", "--task", "data.jsonl"], ["task-1", "shorten"],
    ),
    "list: unknown": (nothing, ["list", "panacae"], ["Did you mean 'panacea'"]),
    "demo: no seed": (nothing, ["demo", "--seeds", "0", "--out", "d"], ["--seeds 0", "at least 1"]),
}  # fmt: skip


@pytest.mark.parametrize(("setup", "argv", "said"), CASES.values(), ids=CASES.keys())
def test_bad_input_is_one_line_and_writes_nothing(place, capfd, setup, argv, said):
    setup(place)
    before = place.snapshot()
    capfd.readouterr()
    code = main(argv)
    out, err = capfd.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for words in said:
        assert words in err
    assert "Traceback" not in err
    assert place.snapshot() == before


def test_the_good_input_of_the_table_is_good(place):
    assert main([*PANACEA, "panacea", "--json"]) == 0
    assert (place.folder / "out/model.safetensors").is_file()


def test_offline_without_the_model_is_a_clear_error(place, capfd, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main([*TUNE, "--model", "owner/name"]) == 2
    said = capfd.readouterr().err
    assert "the hub is out of reach" in said
    assert "unset HF_HUB_OFFLINE" in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "prompt"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["role", "content", "prompt"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
ROWS = st.dictionaries(
    st.sampled_from(["prompt", "completion", "messages", "question", "answer", "x"]), JSON
)
BROKEN = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def assert_no_traceback(code: int, err: str, allowed: tuple[int, ...]) -> None:
    assert code in allowed, err
    assert "Traceback" not in err
    assert "fault of holdfast" not in err
    if code:
        assert err.startswith("error: ")
        assert err.count("\n") == 1


@pytest.mark.thorough
@BROKEN
@given(rows=st.lists(ROWS.map(json.dumps) | st.text(max_size=20), max_size=4), kind=st.data())
def test_generated_rows_never_end_in_a_traceback(place, capfd, rows, kind):
    suffix = kind.draw(st.sampled_from(["jsonl", "json", "csv", "parquet"]))
    path = place.folder / f"broken.{suffix}"
    path.write_bytes("\n".join(rows).encode(errors="surrogatepass"))
    capfd.readouterr()
    code = main(["evaluate", "--model", "nowhere", "--task", str(path)])
    # Good rows get as far as the model, which is missing.
    assert_no_traceback(code, capfd.readouterr().err, (2,))


@pytest.mark.thorough
@BROKEN
@given(raw=st.binary(max_size=60), suffix=st.sampled_from(["jsonl", "csv", "parquet"]))
def test_generated_bytes_never_end_in_a_traceback(place, capfd, raw, suffix):
    path = place.folder / f"broken.{suffix}"
    path.write_bytes(raw)
    capfd.readouterr()
    code = main([*TUNE, "--model", "nowhere", "--data", str(path)])
    assert_no_traceback(code, capfd.readouterr().err, (2,))


OPTIONS = ["learning_rate", "max_steps", "bf16", "optim", "lr_scheduler_type", "nope", "max_length"]


@pytest.mark.thorough
@BROKEN
@given(options=st.dictionaries(st.sampled_from(OPTIONS) | st.text(max_size=5), JSON, max_size=3))
def test_generated_options_never_end_in_a_traceback(place, capfd, options):
    (place.folder / "c.yaml").write_text(json.dumps(options))
    capfd.readouterr()
    code = main([*TUNE, "--model", "nowhere", "--config", "c.yaml"])
    assert_no_traceback(code, capfd.readouterr().err, (2,))


@pytest.mark.thorough
@BROKEN
@given(spec=st.text(alphabet="panceasfixg_:=,.0-9erho\n ", max_size=25), flag=st.text(max_size=5))
def test_generated_specs_never_end_in_a_traceback(place, capfd, spec, flag):
    capfd.readouterr()
    code = main([*TUNE, "--model", "nowhere", "--defense", spec, "--columns", flag])
    assert_no_traceback(code, capfd.readouterr().err, (2,))
