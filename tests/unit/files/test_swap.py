"""A kill, a second run and somebody else's folders: no finished model is ever lost."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from holdfast.errors import ConfigError, RunError
from holdfast.files.folders import ModelFolders, WholeFolder
from tests.killed import killed_at

POINTS = 40
"""More than the changes that a swap makes."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def model(folder: Path, text: str) -> None:
    for name in ("a", "b"):
        (folder / name).write_text(text)


def held_in(folder: Path) -> str:
    """What the model of a folder is, "" where it is not whole."""
    with suppress(OSError):
        first, second = (folder / "a").read_text(), (folder / "b").read_text()
        return first if first == second else ""
    return ""


def names(folder: Path = Path()) -> set[str]:
    return {path.name for path in folder.iterdir()}


class TestKills:
    """``held_in`` reads two files, so that half a model is none."""

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_after_a_kill_anywhere_a_whole_model_is_there_and_the_next_run_mends(
        self, folder, monkeypatch, overwrite
    ):
        """Fault E2: a kill between the renames hid the finished model, and the next run lost it."""

        def write() -> None:
            with WholeFolder(Path("out"), overwrite=overwrite).writing() as partial:
                model(partial, "new")

        seen = set()
        for point in range(POINTS):
            here = folder / str(point)
            here.mkdir()
            monkeypatch.chdir(here)
            if overwrite:
                Path("out").mkdir()
                model(Path("out"), "old")
            if not killed_at(point, write):
                break
            decided = Path(".out.swap").exists()
            assert {held_in(path) for path in here.iterdir()} - {""} or not overwrite
            WholeFolder(Path("out"), overwrite=True).check()
            now = held_in(Path("out"))
            assert now == "new" if decided else now in ("old" if overwrite else "", "new")
            assert names() <= {"out", ".out.partial", ".out.lock"}
            seen.add(now)
            if overwrite or not now:
                write()
            assert held_in(Path("out")) == "new"
            assert names() - {".out.lock"} == {"out"}
        else:
            pytest.fail("more changes than points")
        assert seen == {"old" if overwrite else "", "new"}

    def test_model_and_artifacts_come_together(self, folder, monkeypatch):
        """Fault E2: a kill between the two swaps left a new model with the old artifacts."""

        def write() -> None:
            with ModelFolders(Path("out"), overwrite=True).writing() as (output, artifacts):
                model(output, "new")
                model(artifacts, "new")

        for point in range(0, 2 * POINTS, 2):
            here = folder / str(point)
            here.mkdir()
            monkeypatch.chdir(here)
            for name in ("out", "out-artifacts"):
                Path(name).mkdir()
                model(Path(name), "old")
            if not killed_at(point, write):
                break
            ModelFolders(Path("out"), overwrite=True).check()
            pair = held_in(Path("out")), held_in(Path("out-artifacts"))
            assert pair in {("old", "old"), ("new", "new")}
        else:
            pytest.fail("more changes than points")

    def test_a_kill_while_a_swap_is_mended_is_mended_too(self, folder):
        """Fault E2: the second run's cleaning deleted both models."""
        Path("out").mkdir()
        model(Path("out"), "old")
        journal = WholeFolder(Path("out"), overwrite=True)
        journal.begin()
        model(journal.partial, "new")
        journal.swap.begin([journal.move])
        for point in range(POINTS):
            again = WholeFolder(Path("out"), overwrite=True)
            if not killed_at(point, again.settle):
                break
        assert held_in(Path("out")) == "new"
        assert names() == {"out"}

    def test_a_journal_that_was_damaged_deletes_nothing(self):
        """Fault E2: what lay beside an output was removed unseen."""
        whole = WholeFolder(Path("out"))
        whole.begin()
        whole.swap.begin([whole.move])
        said = json.loads(whole.swap.journal.read_text())
        said["said"]["moves"][0][2] = ["../victim"]
        whole.swap.journal.write_text(json.dumps(said))
        with pytest.raises(ConfigError, match=r"\.out\.swap: is no whole journal"):
            WholeFolder(Path("out"), overwrite=True).check()
        whole.swap.begin([type(whole.move)(whole.target, True, ("../victim",))])
        with pytest.raises(ConfigError, match="a path where a name should be"):
            WholeFolder(Path("out"), overwrite=True).check()


class TestTwoRuns:
    def test_a_second_run_is_refused_while_the_first_works(self):
        """Fault E1: two runs on one output both ended well, and one finished model vanished."""
        first = WholeFolder(Path("out"))
        with first.writing() as partial:
            model(partial, "first")
            for again in (WholeFolder(Path("out")), WholeFolder(Path("out"), overwrite=True)):
                with pytest.raises(ConfigError, match=r"out`: another run is writing it"):
                    again.check()
                with pytest.raises(ConfigError, match="another run"), again.writing():
                    pass
            with pytest.raises(ConfigError, match=r"`artifacts=.*another run"):
                ModelFolders(Path("other"), Path("out")).check()
        assert held_in(Path("out")) == "first"
        assert names() == {"out"}

    def test_runs_that_share_the_artifacts_alone_are_two_as_well(self):
        """Fault E1: the artifacts of two runs became those of the last."""
        with (
            ModelFolders(Path("one"), Path("both")).held(),
            pytest.raises(ConfigError, match="another run"),
        ):
            ModelFolders(Path("two"), Path("both")).check()

    def test_one_that_was_checked_before_the_first_ended_is_refused(self):
        """Fault E1: the target was looked at once, long before the swap."""
        second = WholeFolder(Path("out"))
        second.check()
        with WholeFolder(Path("out")).writing() as partial:
            model(partial, "first")
        with pytest.raises(ConfigError, match="the folder exists"), second.writing():
            pass
        assert held_in(Path("out")) == "first"

    def test_what_came_by_other_hands_stays_and_the_finished_model_too(self):
        """Fault E1: a folder that had come while the run went on was replaced."""
        refused = pytest.raises(RunError, match="has come while the run went on")
        with refused, WholeFolder(Path("out")).writing() as partial:
            model(partial, "new")
            Path("out").mkdir()
            model(Path("out"), "theirs")
        assert held_in(Path("out")) == "theirs"
        assert held_in(Path(".out.partial")) == "new"
        with pytest.raises(ConfigError, match="is left alone"):
            WholeFolder(Path("out")).check()
        Path("out").rename("theirs")
        WholeFolder(Path("out"), overwrite=True).check()
        assert held_in(Path("out")) == "new"

    def test_the_lock_of_a_killed_run_is_none(self):
        """Fault E1: a lock must not outlive its process."""
        held = WholeFolder(Path("out"))
        child = os.fork()
        if not child:
            with held.held():
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        assert names() == {".out.lock"}
        with held.writing() as partial:
            model(partial, "new")
        assert names() == {"out"}

    @pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda p: p.write_text("mine")])
    def test_a_foreign_file_of_the_locks_name_is_left_alone(self, make):
        """Fault E1: a lock file must not hang on, follow or remove somebody's file."""
        make(Path(".out.lock"))
        with pytest.raises(ConfigError, match=r"\.out\.lock (is not|cannot)"):
            WholeFolder(Path("out")).check()
        assert names() == {".out.lock"}


class TestForeignFolders:
    @pytest.mark.parametrize("name", ["partial", "old"])
    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_holdfast_did_not_make_is_named_and_left_alone(self, name, overwrite):
        """Fault E4: a folder of the user's called .out.partial was deleted."""
        theirs = Path(f".out.{name}")
        theirs.mkdir()
        model(theirs, "theirs")
        whole = WholeFolder(Path("out"), overwrite=overwrite)
        with pytest.raises(ConfigError, match=rf"\.out\.{name} is in the way"):
            whole.check()
        with pytest.raises(ConfigError), whole.writing():
            pass
        whole.discard()
        assert held_in(theirs) == "theirs"
        with pytest.raises(ConfigError, match=r"\.o-artifacts|in the way"):
            ModelFolders(Path("o"), Path("out"), overwrite=overwrite).check()

    @pytest.mark.parametrize("make", [lambda p: p.symlink_to("theirs"), lambda p: p.write_text("")])
    def test_a_link_or_file_of_that_name_as_well(self, make):
        """Fault E4: a link called .out.partial was followed or failed at the end."""
        Path("theirs").mkdir()
        model(Path("theirs"), "theirs")
        Path("theirs/.holdfast").touch()
        make(Path(".out.partial"))
        with pytest.raises(ConfigError, match="in the way"):
            WholeFolder(Path("out")).check()
        assert held_in(Path("theirs")) == "theirs"

    def test_what_a_killed_run_left_is_ours(self):
        """Fault E4: ours carry a sign, also where the kill came right after the folder."""
        Path(".out.partial").mkdir()
        WholeFolder(Path("out")).check()
        whole = WholeFolder(Path("out"))
        whole.begin()
        model(whole.partial, "half")
        with whole.writing() as partial:
            assert held_in(partial) == ""
        assert names() == {"out"}

    def test_artifacts_of_another_stopped_run_are_not_taken(self):
        """Fault E4: a run began by deleting the artifacts that another stopped run had kept."""
        first = ModelFolders(Path("one"), Path("both"))
        first.output.begin()
        first.artifacts.begin()
        with pytest.raises(ConfigError, match=r"belongs to the stopped run that writes .*one"):
            ModelFolders(Path("two"), Path("both"), overwrite=True).check()
        first.output.discard()
        ModelFolders(Path("two"), Path("both")).check()
