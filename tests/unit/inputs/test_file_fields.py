"""Fields that name a file (``modules=FILE``) through ``holdfast tune``: used, checked, kept."""

import json
from pathlib import Path

import pytest

from holdfast import MLLR, Panacea
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.cli import main
from holdfast.commands import tune as tuning
from holdfast.commands.notes import Notes
from holdfast.inputs.specs import Spec, files_in
from holdfast.results.result import RunResult
from tests.contract.settings import robust_file
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer

TUNE = ["tune", "--model", "model", "--data", "data.jsonl", "--output", "out", "--max-steps", "2"]
FILE = [*TUNE, "--defense", "ml_lr:modules=robust.json,ratio=0.01"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(30)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    harmful = [
        {"prompt": f"{start} make a {w}", "completion": f"sum of {w}"}
        for start in ("tell me how to", "how to")
        for w in WORDS[-15:]
    ]
    Path("harmful.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in harmful))
    Path("robust.json").write_text(Path(robust_file()).read_text())
    return tmp_path


def test_a_spec_names_a_file():
    spec = Spec.parse("swat:modules=robust.json,moments=fresh,warmup=0.25")
    assert spec.card.name == "swat"
    assert spec.options == {"modules": "robust.json", "moments": "fresh", "warmup": 0.25}
    specs = ["ml_lr:modules=robust.json,subset=random", "panacea:mode=post-hoc", "swat:modules=no"]
    assert files_in(list(map(Spec.parse, specs))) == {"ml_lr:modules": Path("robust.json")}


def test_a_given_file_is_used_and_left_again_as_an_artifact(capfd):
    assert main(FILE) == 0
    assert "5 of 14 trained projections learn as robust (robust)" in capfd.readouterr().err
    left = RobustModules.load("out-artifacts/ml_lr/robust_modules.json")
    assert left == RobustModules.load("robust.json")
    [arm] = [a for a in RunResult.load("out/result.json").arms if a.defense == "ml_lr"]
    assert arm.settings["ml_lr"]["modules"] == "robust.json"
    assert main([*FILE, "--lora", "--overwrite"]) == 0


def test_without_a_file_the_analysis_runs_and_says_what_it_found(capfd):
    data = ["--harmful", "harmful.jsonl", "--benign", "data.jsonl"]
    assert main([*TUNE, *data, "--defense", "swat:tau=0.9", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["rows"][0]["defense"] == "swat"
    assert "robust modules: " in err
    left = RobustModules.load("out-artifacts/swat/robust_modules.json")
    assert left.tau == 0.9
    assert left.trace
    given = ["--defense", "swat:modules=out-artifacts/swat/robust_modules.json"]
    assert main(["again" if part == "out" else part for part in [*TUNE, *given]]) == 0


def wrong(**changes):
    document = json.loads(Path("robust.json").read_text())
    Path("robust.json").write_text(json.dumps({**document, **changes}))


BAD = {
    "missing": (lambda: Path("robust.json").unlink(), FILE, ["ml_lr", "robust.json", "analyze"]),
    "another file": (
        lambda: Path("robust.json").write_text('{"a": 1}'), FILE, ["ml_lr", "robust.json"],
    ),
    "no JSON": (lambda: Path("robust.json").write_text("{"), FILE, ["ml_lr", "robust.json"]),
    "binary": (lambda: Path("robust.json").write_bytes(b"\xff\x00"), FILE, ["robust.json"]),
    "a folder": (lambda: None, [*TUNE, "--defense", "ml_lr:modules=model"], ["modules=model"]),
    "newer": (lambda: wrong(schema_version=99), FILE, ["ml_lr", "robust.json", "99"]),
    "another model's": (
        lambda: wrong(layers=4), FILE, ["ml_lr", "modules=robust.json", "4 layers", "has 2"],
    ),
    "a module that is not there": (
        lambda: wrong(modules=[{"layer": 0, "role": "qkv"}]), FILE, ["robust.json", "qkv"],
    ),
    "none": (
        lambda: wrong(modules=[]), FILE, ["ml_lr", "subset=robust is empty", "0 modules"],
    ),
    "not trained": (
        lambda: wrong(modules=[{"layer": 0, "role": "k"}]),
        [*FILE, "--lora", "--lora-targets", "q_proj,v_proj"],
        ["ml_lr", "subset=robust is empty", "roles q, v", "lora_targets"],
    ),
    "ratio": (lambda: None, [*TUNE, "--defense", "ml_lr:ratio=2"], ["ml_lr", "ratio=2", "[0.0, 1"]),
    "warmup": (lambda: None, [*TUNE, "--defense", "swat:warmup=-1"], ["swat", "warmup=-1"]),
    "subset": (
        lambda: None, [*TUNE, "--defense", "swat:subset=best"], ["swat", "subset='best'", "random"],
    ),
    "key": (lambda: None, [*TUNE, "--defense", "swat:warmpu=.1"], ["Did you mean 'warmup'"]),
    "neither file nor prompts": (
        lambda: None, [*TUNE, "--defense", "ml_lr", "--harmful", "harmful.jsonl"],
        ["ml_lr", "--benign FILE", "ml_lr:modules=FILE"],
    ),
    "too few prompts": (
        lambda: Path("harmful.jsonl").write_text('{"prompt": "make a", "completion": "sum"}\n'),
        [*TUNE, "--defense", "swat", "--harmful", "harmful.jsonl", "--benign", "data.jsonl"],
        ["harmful", "20 or more"],
    ),
    "output holds the file": (
        lambda: (Path("out").mkdir(), Path("robust.json").rename("out/robust.json")),
        [*TUNE, "--overwrite", "--defense", "ml_lr:modules=out/robust.json"],
        ["--output", "out/robust.json", "lost"],
    ),
    "conflict": (
        lambda: None,
        [*FILE, "--defense", "swat:modules=robust.json,moments=fresh", "--harmful", "harmful.jsonl",
         "--defense", "panacea:mode=in-loop"],
        ["swat", "panacea", "moments=kept"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("setup", "argv", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_writes_nothing(folder, capfd, setup, argv, said):
    setup()
    before = sorted(folder.rglob("*"))
    capfd.readouterr()
    assert main(argv) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    for words in said:
        assert words in err
    assert sorted(folder.rglob("*")) == before


def test_a_resumed_run_needs_the_same_file(capfd, monkeypatch):
    def stop(_, _args, state, *__, **___):
        if state.global_step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tuning._Bar, "on_step_begin", stop, raising=False)
        assert main([*FILE, "--save-steps", "1"]) == 130
    wrong(tau=0.5)
    capfd.readouterr()
    assert main([*FILE, "--save-steps", "1", "--resume"]) == 2
    assert "holds something else" in capfd.readouterr().err
    wrong(tau=0.0)
    Path("robust.json").write_text(Path(robust_file()).read_text())
    assert main([*FILE, "--save-steps", "1", "--resume"]) == 0


def test_what_a_defense_warns_of_reaches_the_result(capfd):
    wrong(warnings=["the probe is blind"])
    assert main(FILE) == 0
    assert "ml_lr: the probe is blind" in RunResult.load("out/result.json").warnings


def test_python_takes_paths_as_well():
    MLLR(modules=Path("robust.json")).validate()
    assert Panacea(rho=0.0).needs() == Panacea.card.needs


def test_who_watches_is_told_at_once_and_a_machine_at_the_end(capfd, monkeypatch):
    logged: list[str] = []
    notes = Notes(logged.append)
    notes.say("one")
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    notes.say("two")
    assert capfd.readouterr().err == "one\ntwo\n"
    notes.show()
    assert capfd.readouterr().err == ""
    assert logged == ["one", "two"]
