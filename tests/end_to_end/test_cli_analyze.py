"""``holdfast analyze`` through its real entry: what it writes, refuses, and goes on from."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from holdfast.analysis.modules.perturbation import Probed
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.probing.probe import Probe
from holdfast.cli import main
from tests.analyze_files import ANALYZE, EXACT, benign, harmful, write_place
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_place(tmp_path)
    return tmp_path


def jsonl(name: str, texts: list[str], column: str = "prompt") -> str:
    beside = {} if column == "prompt" else {"note": "a column alone would be the prompts"}
    rows = ({column: text, **beside} for text in texts)
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return name


def tuned(name: str = "tuned", arch: str = "llama") -> str:
    model = tiny_model(arch)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) * 0.02)
    model.save_pretrained(name)
    tiny_tokenizer().save_pretrained(name)
    return name


def adapter(name: str = "adapter") -> str:
    model = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_B" in key:
                p.normal_(std=0.1)
    model.save_pretrained(name)
    return name


def loaded(folder: str = "out") -> dict:
    """All of ``robustness.json`` but how long it took."""
    found = json.loads(Path(folder, "robustness.json").read_text())
    assert found.pop("seconds") > 0
    return found


def test_everything_is_written(folder, capfd):
    assert main([*ANALYZE, "--json"]) == 0
    out, _ = capfd.readouterr()
    said = json.loads(out)
    assert {p.name for p in Path("out").iterdir()} == {
        "robustness.json", "robust_modules.json", "probe.json", "probe.safetensors",
        "analysis.json", "report.html",
    }  # fmt: skip
    robust = RobustModules.load("out/robust_modules.json")
    assert said["modules"] == [str(m) for m in robust.modules]
    assert said["of"] == 14
    assert said["rho"] == robust.rho > 0
    assert said["patterns"].keys() == {"A", "B", "C"}
    assert said["drift"] is None
    assert [d["name"] for d in said["data"]] == ["harmful", "benign"]
    assert robust.model == "model"
    assert len(robust.probe_sha256) == 64
    assert set(Probe.load("out").quality) == {"train", "held_out"}
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_answers_are_ignored_and_any_known_column_is_read(folder):
    assert main([*ANALYZE]) == 0
    first = RobustModules.load("out/robust_modules.json")
    rows = [{"goal": text, "target": "sorry"} for text in harmful()]
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    rows = [
        {"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "1"}]}
        for t in benign()
    ]
    Path("talks.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    argv = [*ANALYZE, "--harmful", "pairs.jsonl", "--benign", "talks.jsonl", "--overwrite"]
    assert main(argv) == 0
    assert RobustModules.load("out/robust_modules.json") == first


def test_out_of_domain_prompts_test_the_probe(folder, capfd):
    other = jsonl("h2.jsonl", [f"tell me how to make {n} zorba" for n in range(20)])
    plain = jsonl("b2.jsonl", [f"tell me the sum of {n} minus 1" for n in range(20)])
    argv = [*ANALYZE, "--harmful-ood", other, "--benign-ood", plain, "--json"]
    assert main(argv) == 0
    found = json.loads(capfd.readouterr().out)["probe"]["out_of_domain"]
    assert (found["harmful"], found["benign"]) == (20, 20)


def test_a_blind_probe_is_said_everywhere(folder, capfd):
    texts = [f"what is {n % 20} plus {n // 20} please" for n in range(120)]
    random.Random(0).shuffle(texts)  # noqa: S311  # No rule tells one half from the other.
    argv = [*ANALYZE, "--harmful", jsonl("a.jsonl", texts[::2])]
    assert main([*argv, "--benign", jsonl("b.jsonl", texts[1::2])]) == 0
    assert "warning: the security probe is blind" in capfd.readouterr().err
    page = Path("out/report.html").read_text()
    assert re.search(r'class="warnings blind".*?the security probe is blind', page, re.S)
    assert json.loads(Path("out/analysis.json").read_text())["warnings"]


@pytest.mark.parametrize("make", [tuned, adapter])
def test_against_a_tuned_model(folder, make, capfd):
    assert main([*ANALYZE, "--against", make(), "--json"]) == 0
    drift = json.loads(capfd.readouterr().out)["drift"]
    assert drift["drift"] > 0
    assert drift["outside"] > 0
    assert drift["before"]["balanced_accuracy"] >= 0.9
    assert drift["retrained"]["harmful"] == 6
    assert drift["fate"] in ("kept", "weakened", "moved", "lost")
    assert 'id="against"' in Path("out/report.html").read_text()


def test_delta_puts_in_the_changes_of_the_run(folder):
    argv = [*ANALYZE, "--against", adapter(), "--method", "delta"]
    assert main(argv) == 0
    scores = {m["name"]: m["damage"][0]["drift"] for m in loaded()["modules"]}
    moved = {name for name, drift in scores.items() if drift > 1e-7}
    assert moved == {n for n in scores if n.endswith(("q_proj", "down_proj"))}


def test_an_unchanged_model_is_warned_of(folder, capfd):
    assert main([*ANALYZE, "--against", "model"]) == 0
    assert "has the very weights of --model" in capfd.readouterr().err


class Stop(BaseException):
    """Ends a run like a kill: nothing may catch it."""


def counted(monkeypatch, stop_after=None):
    """Count the single modules that are measured; raise once ``stop_after`` are."""
    real, names = Probed.damage, []

    def damage(self, change, refs, seed):
        chosen = list(refs)
        if stop_after is not None and len(names) == stop_after:
            raise Stop
        if len(chosen) == 1:
            names.append((chosen[0].name, seed))
        return real(self, change, chosen, seed)

    monkeypatch.setattr(Probed, "damage", damage)
    return names


def test_a_killed_analysis_goes_on(folder, monkeypatch):
    assert main([*EXACT, "--output", "whole"]) == 0
    with monkeypatch.context() as patch:
        begun = counted(patch, stop_after=9)
        with pytest.raises(BaseException):  # noqa: B017, PT011  # main() turns it into a code.
            raise SystemExit(main(EXACT))
    partial = Path(".out.analysis.jsonl")
    assert len(partial.read_text().splitlines()) == 1 + 9
    assert not Path("out").exists()
    partial.write_text(partial.read_text()[:-20])  # The last line was cut by the kill.
    with monkeypatch.context() as patch:
        again = counted(patch)
        assert main(EXACT) == 0
    singles = again[: 2 * 14 - 8]
    assert not set(begun[:8]) & set(singles)
    assert loaded("out") == loaded("whole")
    assert (
        Path("out/robust_modules.json").read_text() == Path("whole/robust_modules.json").read_text()
    )
    assert not partial.exists()


KILLED = """
import os, signal, sys
from holdfast.analysis.modules.perturbation import Probed
from holdfast.cli import main
real, done = Probed.damage, []
def damage(self, *args):
    done.append(1)
    if len(done) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *args)
Probed.damage = damage
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_sigkill_leaves_what_was_done(folder):
    done = subprocess.run([sys.executable, "-c", KILLED, *EXACT], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(Path(".out.analysis.jsonl").read_text().splitlines()) == 1 + 5
    assert not Path("out").exists()
    assert main(EXACT) == 0
    assert main([*EXACT, "--output", "whole"]) == 0
    assert loaded("out") == loaded("whole")


def test_ctrl_c_says_what_is_kept(folder, monkeypatch, capfd):
    real, done = Probed.damage, []

    def damage(self, *args):
        done.append(1)
        if len(done) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *args)

    monkeypatch.setattr(Probed, "damage", damage)
    assert main(EXACT) == 130
    said = capfd.readouterr().err
    assert ".out.analysis.jsonl" in said
    assert "goes on from there" in said


def test_what_was_begun_with_other_weights_is_refused(folder, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        counted(patch, stop_after=3)
        main(EXACT)
    tuned("model")
    capfd.readouterr()
    assert main(EXACT) == 2
    assert "part of another analysis" in capfd.readouterr().err


def few(n: int, name: str = "few.jsonl") -> str:
    return jsonl(name, harmful(n))


BAD = {
    "one class only": (lambda: [*ANALYZE, "--harmful-ood", few(20)], ["--benign-ood"]),
    "too few": (lambda: [*ANALYZE, "--harmful", few(19)], ["harmful", "19", "20 or more"]),
    "an overlap": (
        lambda: [*ANALYZE, "--benign", jsonl("b.jsonl", [*benign(), harmful()[3]])],
        ["benign, row 25", "same prompt as harmful, row 4"],
    ),
    "no prompts": (
        lambda: [*ANALYZE, "--harmful", jsonl("x.jsonl", harmful(), "blurb")],
        ["x.jsonl, row 1", "'prompt' is missing", "'blurb'", "--columns prompt=NAME"],
    ),
    "columns": (lambda: [*ANALYZE, "--columns", "goal"], ["--columns goal", "prompt=NAME"]),
    "delta of nothing": (lambda: [*ANALYZE, "--method", "delta"], ["--method delta", "--against"]),
    "another architecture": (
        lambda: [*ANALYZE, "--against", tuned(arch="qwen2")],
        ["--against tuned", "qwen2", "llama", "fine-tuned from --model"],
    ),
    "no such run": (lambda: [*ANALYZE, "--against", "no"], ["--against no", "folder not found"]),
    "tau": (lambda: [*ANALYZE, "--tau", "1.5"], ["tau=1.5", "[0, 1]"]),
    "rho": (lambda: [*ANALYZE, "--rho", "0"], ["rho=0", "positive"]),
    "limit": (lambda: [*ANALYZE, "--limit", "0"], ["--limit 0", "at least 1"]),
    "too long": (
        lambda: [*ANALYZE, "--harmful", jsonl("l.jsonl", [*harmful(), "how " * 200])],
        ["l.jsonl, row 25", "tokens and the model takes 128"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(folder, capfd, argv, said):
    given = argv()
    capfd.readouterr()
    assert main(given) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for words in said:
        assert words in err
    assert not Path("out").exists()


def test_an_existing_output_stays(folder, capfd):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    assert main(ANALYZE) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert Path("out/mine.txt").exists()
    assert main([*ANALYZE, "--overwrite"]) == 0
    assert not Path("out/mine.txt").exists()


def test_a_fused_projection_is_analyzed_by_its_parts(folder):
    write_place(folder, "gpt_neox")
    assert main(ANALYZE) == 0
    told = Path("out/robustness.json").read_text()
    assert all(f"layers.0.attention.query_key_value[{part}]" in told for part in "qkv")
