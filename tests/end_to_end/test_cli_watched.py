"""A run leaves its log, also where it stops, and trackers get its figures and no text."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from holdfast.cli import main
from holdfast.commands import repair as repairing
from holdfast.commands import tune as tuning
from holdfast.commands.run_log import RunLog, forget_log
from holdfast.commands.streaming import repair as streaming
from holdfast.errors import ConfigError
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

SECRET = "mipba"  # noqa: S105
RUN = [
    "align", "--model", "model", "--data", "data.jsonl", "--output", "out", "--batch-size", "4",
    "--max-steps", "4", "--save-steps", "2", "--eval-data", "data.jsonl", "--eval-steps", "2",
    "--harmful", "data.jsonl", "--defense", "booster", "--test-harmful", "data.jsonl",
    "--max-new-tokens", "2",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"question": f"{q} {SECRET}", "answer": f"{a} {SECRET}"} for q, a in tiny_rows(8)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


class Tracker(TrainerCallback):
    """Keeps all that it is given."""

    seen: list[Any] = []  # noqa: RUF012
    folders: list[Any] = []  # noqa: RUF012
    logging_dir = None

    def on_train_begin(self, args, *_, **__) -> None:
        self.folders.append(self.logging_dir)
        self.seen.append(args.to_json_string())

    def on_log(self, _args, state, *_, logs, **__) -> None:
        self.seen.append({"at": state.global_step, **logs})


def test_a_tracker_gets_every_figure_and_no_text_of_a_row(folder, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Tracker)
    Tracker.seen.clear()
    assert main([*RUN, "--set", "report_to=tensorboard"]) == 0
    logged = [entry for entry in Tracker.seen if isinstance(entry, dict)]
    first = next(entry for entry in logged if "before/hs" in entry)
    last = next(entry for entry in logged if "after/hs" in entry)
    assert (first["at"], last["at"]) == (0, 4)
    shares = [arm["runs"][0]["shares"]["hs"]["value"] for arm in
              json.loads(Path("out/result.json").read_text())["arms"]]  # fmt: skip
    assert [first["before/hs"], last["after/hs"]] == shares
    names = {name for entry in logged for name in entry}
    assert {"loss", "eval_loss", "booster/harmful_loss"} < names
    assert all(isinstance(value, int | float) for entry in logged for value in entry.values())
    assert SECRET not in str(Tracker.seen)
    assert Path(Tracker.folders[-1]).parent.name == ".out.partial"  # It comes to the output.


def test_a_tracker_that_fails_once_all_is_trained_costs_no_result(folder, monkeypatch):
    """Hours of training ended without an output, and each --resume ended at the same tracker."""

    class Gone(Tracker):
        def on_log(self, _args, _state, *_, logs, **__) -> None:
            if "after/hs" in logs:
                raise ConnectionError(f"the key {SECRET} has run out")

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Gone)
    assert main([*RUN, "--set", "report_to=tensorboard"]) == 0
    told = json.loads(Path("out/result.json").read_text())["warnings"]
    assert any("a tracker (tensorboard) failed at the shares after (Conn" in line for line in told)
    assert SECRET not in str(told)


def test_nothing_is_tracked_unasked(folder, monkeypatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Tracker)
    Tracker.seen.clear()
    assert main(RUN) == 0
    assert not Tracker.seen
    assert not Path("out/runs").exists()


def test_the_log_tells_what_was_done_and_holds_no_text_of_a_row(folder):
    assert main(RUN) == 0
    lines = Path("out/run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    text = "\n".join(line[21:] for line in lines)
    told = ["align begins", "training: 4 steps", "step 0: before/hs", "step 1: loss ",
            "step 2: eval_loss ", "step 2: checkpoint", "step 4: after/hs", "finished"]  # fmt: skip
    places = [text.index(line) for line in told]
    assert places == sorted(places)
    assert text.endswith("finished")
    assert SECRET not in text


def failing(*_: object, **__: object) -> None:
    raise ValueError(f"quoting {SECRET}")


def test_the_log_of_a_run_that_fails_before_its_first_checkpoint_is_left(
    folder, monkeypatch, capfd
):
    log = Path("out.failed.log")
    with monkeypatch.context() as patch:
        patch.setattr(tuning._Bar, "on_step_end", failing)
        assert main(RUN) == 1
    text = log.read_text()
    assert " align begins\n" in text
    assert text.endswith("failed: ValueError\n")
    assert SECRET not in text
    assert not Path("out").exists()
    assert forget_log(Path("out"))  # As the next run does.
    assert not log.exists()


def test_a_file_that_is_no_log_of_ours_stays(tmp_path):
    log, file = RunLog(), tmp_path / "out.failed.log"
    file.write_text("2026 tune begins\n")
    with pytest.raises(ValueError, match="x"), log.of("tune"):
        raise ValueError("x")
    assert log.left(tmp_path / "out") == ""
    assert file.read_text() == "2026 tune begins\n"
    assert log.left(tmp_path / "other") == f" but the log, {tmp_path}/other.failed.log"


def test_a_run_that_is_refused_leaves_no_log(folder, monkeypatch, capfd):
    monkeypatch.setattr(tuning, "rehearse", lambda _: (_ for _ in ()).throw(ConfigError("no")))
    assert main(RUN) == 2
    assert not Path("out.failed.log").exists()


def test_what_goes_before_and_after_the_steps_is_shown_and_logged(folder, capfd):
    steps = ["--epochs", "1", "--max-steps", "1", "--harmful", "data.jsonl", "--lora"]
    vector = "security_vectors:epochs=2,batch_size=2,max_harmful_nll=99,kl_weight=0"
    repair = "panacea:batch_size=2"
    tune = ["tune", *RUN[1:3], "--data", "data.jsonl", "--output", "tuned", *steps]
    given = ["--validation", "data.jsonl", "--defense", vector, "--defense", repair]
    assert main([*tune, *given]) == 0
    text, shown = Path("tuned/run.log").read_text(), capfd.readouterr().err
    total = 2 * 3  # Epochs, and batches of the rows that are not held out.
    for told in (text, shown):
        assert f"security_vectors: vector: {total} of {total}, loss " in told
        assert "panacea: gradient: 4 of 4" in told
        assert "panacea: scales: 9 of 9" in told
    assert "panacea: ‖ε‖ = " in text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_repair_has_a_log_where_it_ends_and_where_it_fails(folder, monkeypatch, capfd, streamed):
    tiny_model(seed=1).save_pretrained("other")
    apart = ["--method", "safe_lora:base=other,aligned=aligned", "--streamed"]
    tiny_model(seed=2).save_pretrained("aligned")
    how = apart if streamed else ["--method", "panacea", "--harmful", "data.jsonl"]
    repair = ["repair", *RUN[1:3], "--output", "fixed", *how]
    module = streaming if streamed else repairing
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_report", failing)
        assert main(repair) == 1
    text = Path("fixed.failed.log").read_text()
    assert " repair begins\n" in text
    assert text.endswith("failed: ValueError\n")
    assert not Path("fixed").exists()
    assert main(repair) == 0
    assert Path("fixed/run.log").read_text().endswith("finished\n")
    assert not Path("fixed.failed.log").exists()


def test_the_log_of_a_run_that_fails_and_goes_on(folder, monkeypatch, capfd):
    def fail(_self, _args, state, *_, **__) -> None:
        if state.global_step == 3:
            raise ValueError(f"quoting {SECRET}")

    with monkeypatch.context() as patch:
        patch.setattr(tuning._Bar, "on_step_end", fail)
        assert main(RUN) != 0
    text = Path(".out.partial/run.log").read_text()
    assert text.endswith("failed: ValueError\n")
    assert SECRET not in text
    assert main([*RUN, "--resume"]) == 0
    whole = Path("out/run.log").read_text()
    assert whole.startswith(text)
    assert "training: 4 steps, from step 2" in whole
    assert whole.count("step 1: loss") == 1
