"""The processes of one run agree on errors and values; a launcher gets the whole command."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedType

import holdfast.commands.tune as command
from holdfast.cli import main
from holdfast.cli.shell.launch import launch_line
from holdfast.commands.several import ending, partners
from holdfast.commands.several import ranks as ranks_module
from holdfast.commands.several.ending import ending_together
from holdfast.commands.several.ranks import Ranks
from holdfast.commands.tune_settings import PROCESSES, check_same
from holdfast.commands.tuning import watching
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.metrics import Verdict
from holdfast.files.outputs.locks import locked
from holdfast.files.outputs.processes import is_hushed, one_run, place, refuse_several
from holdfast.inputs.configs import AlignConfig, TuneConfig
from holdfast.inputs.judging import Examiner
from holdfast.testing.runs import new_trainer
from holdfast.training.trainer import protect
from tests.distributed import in_processes
from tests.tiny import tiny_examples, tiny_model, tiny_tokenizer

CONFIG = "distributed_type: MULTI_GPU\nnum_processes: 2\n"
GIVEN = TuneConfig(
    model="organism", data="organism", output=Path("out"), set=["optim=sgd", "weight_decay=0.1"],
    defense=["panacea:rho=0.1", "safe_mixing"], lora=True, learning_rate=0.1, max_steps=3,
    resume=True, seed=4,
)  # fmt: skip


def planted(fails):
    if fails:
        raise ConfigError("planted")


def failing(error):
    """Return a function that raises the error."""

    def act():
        raise error

    return act


class TestAgreement:
    @pytest.mark.parametrize("who", [0, 1])
    def test_an_error_of_one_is_an_error_of_all_and_the_first_tells_it(self, who):
        def act():
            ranks = Ranks()
            with pytest.raises(ConfigError, match="planted") as caught, ranks.agreed():
                planted(ranks.number == who)
            return is_hushed(caught.value), str(caught.value)

        (first, said), (second, _) = in_processes(act)
        assert (first, second) == (False, True)
        assert said == ("planted" if who == 0 else "process 1: planted")

    def test_the_first_ones_value_is_everybodys(self):
        def act():
            ranks = Ranks()
            with ranks.agreed():
                pass
            return ranks.shared({"rank": ranks.number}), ranks.first

        assert in_processes(act) == [({"rank": 0}, True), ({"rank": 0}, False)]

    def test_a_second_run_of_one_script_hears_nothing_of_the_first(self):
        """The store of a launcher outlives a run: an answer of the first was taken for new."""

        def act():
            first = Ranks()
            first.shared("of the first run")
            first.leave_sign()
            first.leave_words(RunError("planted"))
            second = Ranks()
            time.sleep(0.3 * second.first)  # The other one looks before there is an answer.
            return second.words() is None, len(second.silent()), second.shared("of the second")

        assert in_processes(act) == [(True, 2, "of the second")] * 2

    def test_what_the_first_alone_does_is_everybodys(self):
        def act(fails):
            ranks, called = Ranks(), []

            def once():
                called.append(ranks.number)
                planted(fails)
                return [Verdict.unscored("judge", "empty answer")] * 3

            try:
                return called, ranks.of_the_first(once)
            except ConfigError as error:
                return called, str(error)

        made = [Verdict.unscored("judge", "empty answer")] * 3
        assert in_processes(act, False) == [([0], made), ([], made)]
        assert in_processes(act, True) == [([0], "planted"), ([], "process 0: planted")]

    @pytest.mark.parametrize("rank", ["0", "1"])
    def test_variables_that_a_launcher_left_behind_are_named(self, monkeypatch, rank):
        monkeypatch.setattr(ranks_module.PartialState, "_shared_state", {})
        said = rf"RANK={rank} and WORLD_SIZE=2.*remove both"
        left = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "", "LOCAL_RANK": "-1"}
        # accelerate sets variables of its own.
        with patch.dict(os.environ, left), pytest.raises(ConfigError, match=said) as told:
            Ranks()
        assert "MASTER_ADDR" in str(told.value)
        assert not is_hushed(told.value)  # There may be no other one to tell it.

    @pytest.mark.parametrize(("seconds", "said"), [(0.0, ""), (0.5, "at there:29500; if none")])
    def test_who_waits_for_the_others_says_so(self, monkeypatch, capfd, seconds, said):
        """With variables that a launcher left behind it waited half an hour, and said nothing."""
        monkeypatch.setattr(ranks_module, "_PATIENCE", 0.1)
        monkeypatch.setattr(ranks_module, "PartialState", lambda **_: time.sleep(seconds))
        monkeypatch.setattr(ranks_module, "process_store", lambda: None)
        left = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "there", "MASTER_PORT": "29500"}
        with patch.dict(os.environ, left):
            Ranks()
        time.sleep(0.2)
        told = capfd.readouterr().err
        assert said in told
        assert bool(told) == bool(said)

    def test_one_process_agrees_with_itself(self):
        ranks = Ranks()
        with pytest.raises(ConfigError, match="planted") as caught, ranks.agreed():
            raise ConfigError("planted")
        assert not is_hushed(caught.value)
        assert ranks.shared(3) == 3

    def test_a_run_of_several_that_sees_only_itself_is_refused(self, monkeypatch):
        trainer = new_trainer(None)
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match=r"2 processes .* sees 1: .*use_cpu=True"):
            protect(trainer, [])


class TestEnding:
    def test_the_reason_of_the_one_that_failed_is_told_by_the_first(self, tmp_path):
        lock = tmp_path / "lock"

        def act():
            ranks = Ranks()
            if ranks.first:
                return self.ended(ranks, lock, failing(RuntimeError("gloo: Connection closed")))
            return self.ended(ranks, lock, failing(RunError("planted")))

        with locked(lock, "held"):  # As the first process holds it.
            (first, told), (second, own) = in_processes(act)
        assert (first, second) == (False, True)
        assert told == "process 1: planted"
        assert own == "planted"

    def test_where_the_first_is_dead_another_tells_what_is_kept(self, tmp_path):
        def act():
            ranks = Ranks()
            if ranks.first:
                return None
            lost = RuntimeError("Connection closed by peer")
            return self.ended(ranks, tmp_path / "lock", failing(lost))

        _, (hushed, told) = in_processes(act)
        assert not hushed
        assert told == "another process of this run died without a word (killed, or its machine " \
            "was lost); all is kept"  # fmt: skip

    @pytest.mark.parametrize("who", [0, 1])
    def test_one_that_hangs_is_named_by_who_has_waited_for_it(self, tmp_path, who, monkeypatch):
        """The first one holds the lock also where it hangs, and cannot tell."""
        monkeypatch.setattr(ending, "_MOMENT", 0.3)
        ends, lock = [tmp_path / "0", tmp_path / "1"], tmp_path / "lock"

        def until(end):
            while not end.exists():
                time.sleep(0.02)

        def hang():
            until(ends[1 - who])
            raise KeyboardInterrupt("stopped")  # The launcher does so in the end.

        def wait():
            args = SimpleNamespace(ddp_timeout=0.3)
            kind = SimpleNamespace(distributed_type=DistributedType.MULTI_CPU)
            partners.take_part(SimpleNamespace(accelerator=kind, args=args))
            dist.all_reduce(torch.ones(1))

        def act():
            ranks = Ranks()
            dist.barrier = lambda: None  # At the end of this process; nobody is left for it.
            try:
                return self.ended(ranks, lock, hang if ranks.number == who else wait)
            finally:
                ends[ranks.number].touch()
                until(ends[1])  # The first one keeps the store here.

        with locked(lock, "held"):
            told = in_processes(act)
        (hushed, said), (silent, heard) = told[1 - who], told[who]
        assert (hushed, silent) == (False, True) if who == 0 else (True, False)
        assert f"process {who} does not come to where the others wait" in said
        assert "`ddp_timeout`" in said
        assert ("; all is kept" in said) == (who == 0)  # The first one says so by itself.
        assert said.split(";")[0] in heard

    @staticmethod
    def ended(ranks, lock, act):
        kept = ending_together(ranks, lock, lambda: "all is kept")
        with pytest.raises(RuntimeError) as caught, kept:
            act()
        notes = getattr(caught.value, "__notes__", [])
        return is_hushed(caught.value), "; ".join([str(caught.value), *notes])


class TestPlace:
    def test_only_inside_one_run_several_are_let_through(self, monkeypatch):
        for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
            monkeypatch.setenv(name, value)
        assert place() == (1, 2)
        with one_run():
            refuse_several()
        with pytest.raises(ConfigError, match="2 processes") as caught:
            refuse_several()
        assert is_hushed(caught.value)  # The first one says so.

    def test_processes_without_a_number_are_refused(self, monkeypatch):
        monkeypatch.setenv("PMI_SIZE", "2")
        with pytest.raises(ConfigError, match="RANK"), one_run():
            raise AssertionError


def test_one_process_asks_and_judges_and_each_returns_what_it_found(tmp_path, monkeypatch):
    """Each asked the judge by itself: eight processes paid for eight times the verdicts."""
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(dict(row)) + "\n" for row in tiny_examples(8)))
    called, examine = [], Examiner.examine

    def counted(self, name, model):
        called.append(name)
        return examine(self, name, model)

    monkeypatch.setattr(Examiner, "examine", counted)
    given = {name: str(rows) for name in ("data", "test_task")}

    def act():
        config = TuneConfig(
            model=str(tmp_path / "model"), output=tmp_path / "out", max_steps=1, batch_size=2,
            max_new_tokens=4, set=["report_to=none"], **given,
        )  # fmt: skip
        return called, [len(arm.runs[0].answers) for arm in command.tune(config).arms]

    (first, found), (second, heard) = in_processes(act)
    assert (first, second) == (["before", "after"], [])
    assert found == heard == [8, 8]


def test_one_process_finds_how_the_model_refuses_and_all_watch_with_that(tmp_path, monkeypatch):
    """Each asked the judge by itself: paid for each, and two words of it are two runs."""
    called, find = [], watching.find_openings

    def found(*args):
        openings = find(*args)
        called.append(len(openings.refusals))
        return replace(openings, refusals=openings.refusals[: 1 + dist.get_rank()])

    monkeypatch.setattr(watching, "find_openings", found)

    def act():
        config = TuneConfig(
            model="organism", data="organism", output=tmp_path / "out", max_steps=1, limit=8,
            harmful="organism", harmful_limit=12, watch=1, set=["report_to=none"],
        )  # fmt: skip
        drift = command.tune(config).arms[-1].runs[0].diagnostics["drift"]
        return len(called), str(drift.blocks["told"])

    (first, told), (second, same) = in_processes(act)
    assert (first, second) == (1, 0)
    assert told == same


def test_processes_with_more_batches_than_others_are_refused_before_the_steps():
    """The one with more waited, and was told that another had died without a word."""

    def act(counts):
        loader = [None] * counts[Ranks().number]
        try:
            partners.refuse_uneven(SimpleNamespace(accelerator=Accelerator()), loader)
        except ConfigError as error:
            return str(error)
        return "even"

    assert in_processes(act, (3, 3)) == ["even"] * 2
    uneven = in_processes(act, (3, 2))
    assert uneven[0] == uneven[1]
    assert "have 3, 2 batches" in uneven[0]


def test_a_run_goes_on_in_as_many_processes_as_it_was_stopped_in():
    given = {"seed": 0, PROCESSES: 1}
    check_same({"seed": 0, PROCESSES: 1}, given)
    check_same({"seed": 0}, given)  # Stopped in an older version, which did not write it.
    with pytest.raises(ConfigError, match="number of processes was 2 and is now 1"):
        check_same({"seed": 0, PROCESSES: 2}, given)


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "nn.DataParallel"])
def test_a_spread_model_cannot_be_written_by_one_process(monkeypatch, kind):
    monkeypatch.setattr(partners, "is_distributed", lambda _: kind)
    with pytest.raises(ConfigError, match=rf"writes a whole model .* {kind}"):
        partners.take_part(None)


class TestAccelerate:
    @pytest.mark.parametrize("config", [GIVEN, AlignConfig(model="m", data="d", output=Path("o"))])
    def test_the_launched_command_has_the_same_options(self, tmp_path, monkeypatch, config):
        file = tmp_path / "a.yaml"
        file.write_text(CONFIG)
        line = launch_line(config, file)
        at = line.index("holdfast")
        assert line[:at] == [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(file), "-m",
        ]  # fmt: skip
        seen = []
        monkeypatch.setattr(command, "tune", lambda given, _: seen.append(given) or 1 / 0)
        main(line[at + 1 :])
        assert seen == [config]

    def test_the_command_becomes_the_launcher(self, tmp_path, monkeypatch):
        file = tmp_path / "a.yaml"
        file.write_text(CONFIG)
        seen = []

        def exec_(_, line):
            seen.extend(line)
            raise SystemExit(7)

        monkeypatch.setattr(os, "execv", exec_)
        words = ["tune", "--model", "m", "--data", "d", "--output", str(tmp_path / "o"), "--json"]
        assert main([*words, "--accelerate-config", str(file)]) == 7
        assert seen[-8:] == ["tune", *words[1:]]
        assert not (tmp_path / "o").exists()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "file not found"),
            ("- 1\n", "expected a mapping"),
            ("num_processes: 2\n", "distributed_type=None"),
            ("distributed_type: MULTI_CPU\n", "use torchrun"),
            ("distributed_type: FSDP\n", "expected one of NO, MULTI_GPU"),
            ("distributed_type: MULTI_GPUS\n", "Did you mean 'MULTI_GPU'"),
            (f"{CONFIG}nonsense: 1\n", "accelerate does not read it.*nonsense"),
            (f"{CONFIG}compute_environment: AMAZON_SAGEMAKER\n", "LOCAL_MACHINE"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_refused(self, tmp_path, text, said):
        file = tmp_path / "a.yaml"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError, match=rf"(?s)`accelerate_config=.*{said}"):
            launch_line(GIVEN, file)

    def test_a_launched_process_launches_no_more(self, tmp_path, monkeypatch):
        file = tmp_path / "a.yaml"
        file.write_text(CONFIG)
        monkeypatch.setenv("RANK", "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ConfigError, match="a launcher has started this process") as first:
            launch_line(GIVEN, file)
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("LOCAL_RANK", "1")
        with pytest.raises(ConfigError, match="a launcher has started this process") as second:
            launch_line(GIVEN, file)
        assert (is_hushed(first.value), is_hushed(second.value)) == (False, True)
