"""A run leaves its log, also where it stops, and trackers get its figures and no text."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from holdfast.cli import main
from holdfast.commands import tune as tuning
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
