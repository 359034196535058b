"""One run is one process, until an engine can share one."""

from pathlib import Path

import pytest
from accelerate.state import PartialState

from holdfast.cli import main
from holdfast.commands.several.ranks import Ranks
from holdfast.files.folders import WholeFolder
from holdfast.files.outputs.processes import place, refuse_several

COMMANDS = {
    "tune": ["tune", "--model", "organism", "--data", "organism", "--output", "out"],
    "align": ["align", "--model", "organism", "--data", "organism", "--output", "out"],
    "repair": ["repair", "--model", "organism", "--harmful", "organism", "--output", "out"],
    "evaluate": ["evaluate", "--model", "organism", "--output", "out"],
    "analyze": ["analyze", "--model", "organism", "--harmful", "organism", "--benign", "organism",
                "--output", "out"],
    "bench": ["bench", "quick", "--out", "out"],
    "demo": ["demo", "--out", "out"],
    "organism": ["organism", "build", "--out", "out"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("variable", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_a_launched_command_is_refused_before_anything(
    tmp_path, monkeypatch, capfd, command, variable
):
    """Fault E7: under torchrun two processes ended with exit code 0 and the model was lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "2")
    assert main(COMMANDS[command]) == 2
    assert "2 processes were started as one run" in capfd.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("more", [[], ["--nonsense"]])
def test_what_a_cluster_left_in_the_environment_silences_no_command(
    tmp_path, monkeypatch, capfd, command, more
):
    """Without a launcher there is no first process that would tell: nobody said a word."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*COMMANDS[command], *more]) == 2
    said = capfd.readouterr().err
    assert "--nonsense" in said if more else "WORLD_SIZE" in said
    assert list(Path().iterdir()) == []


def test_a_single_process_is_the_first_whatever_its_number(monkeypatch):
    """A run with RANK=1 and WORLD_SIZE=1 ended with exit code 0, and wrote and said nothing."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert place() == (0, 1)
    assert Ranks().first


def test_what_accelerate_has_set_up_counts_too(monkeypatch):
    """Fault E7: no state of a launcher was looked at."""
    refuse_several()
    monkeypatch.setattr(PartialState, "_shared_state", {"num_processes": 4})
    with pytest.raises(ValueError, match="4 processes"):
        refuse_several()


@pytest.mark.parametrize("count", ["1", "", "x"])
def test_one_process_is_none_of_several(monkeypatch, count):
    monkeypatch.setenv("WORLD_SIZE", count)
    refuse_several()


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bench"])
def test_a_command_is_refused_while_another_run_writes_its_output(
    tmp_path, monkeypatch, capfd, command
):
    """Fault E1: two runs on one output both ended well, and one finished model vanished."""
    monkeypatch.chdir(tmp_path)
    with WholeFolder(Path("out")).held():
        assert main(COMMANDS[command]) == 2
        assert "another run is writing it" in capfd.readouterr().err
    assert list(Path().iterdir()) == []
