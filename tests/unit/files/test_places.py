"""What no folder can come to is refused before anything is computed, and stays as it is."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.errors import ConfigError
from holdfast.files.folders import ModelFolders, WholeFolder
from holdfast.files.outputs.places import check_folder
from holdfast.files.whole import write_whole

COMMANDS = {
    "tune": ["tune", "--model", "organism", "--data", "organism", "--output"],
    "artifacts": ["tune", "--model", "organism", "--data", "organism", "--output", "o",
                  "--artifacts"],
    "align": ["align", "--model", "organism", "--data", "organism", "--output"],
    "repair": ["repair", "--model", "organism", "--harmful", "organism", "--output"],
    "evaluate": ["evaluate", "--model", "organism", "--output"],
    "analyze": ["analyze", "--model", "organism", "--harmful", "organism", "--benign",
                "organism", "--output"],
    "bench": ["bench", "quick", "--out"],
    "demo": ["demo", "--out"],
    "organism": ["organism", "build", "--out"],
}  # fmt: skip


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path)


def file(path: Path) -> None:
    path.write_text("mine")


THINGS = [pipe, listening, dangling, loop, file]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path, match: str) -> None:
    before = {p: p.lstat().st_mode for p in Path().rglob("*")}
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=match):
            WholeFolder(Path(path), overwrite=overwrite).check()
        with pytest.raises(ConfigError, match=match):
            ModelFolders(Path("fine"), Path(path), overwrite=overwrite).check()
    assert {p: p.lstat().st_mode for p in Path().rglob("*")} == before


@pytest.mark.parametrize("thing", THINGS)
def test_what_is_no_folder_is_refused_and_so_is_a_folder_in_it(folder, thing):
    """Fault E3: an output that was a device or a link into nowhere was replaced by a folder."""
    thing(folder / "it")
    refused("it", "is a |is or lies")
    refused("it/deeper/out", "is a |is or lies")


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
def test_a_device_is_refused(folder, monkeypatch, kind):
    """Fault E3: as root, an output of /dev/null was replaced by a folder."""
    (folder / "null").touch()
    real = Path.stat

    def as_device(self, **how):
        found = real(self, **how)
        changed = (kind | 0o666, *found[1:]) if self.name == "null" else found
        return os.stat_result(changed)

    monkeypatch.setattr(Path, "stat", as_device)
    refused("null", "is a device: give a folder")
    with pytest.raises(ConfigError, match="is a device: give a file"):
        write_whole(folder / "null", "text")


@pytest.mark.parametrize("path", ["/", "//", "/..", "."])
def test_the_root_and_the_folder_of_work_are_refused(path):
    """Fault E3: an output of / failed at the very end of the run."""
    with pytest.raises(ConfigError):
        WholeFolder(Path(path), overwrite=True).check()


def test_a_mount_point_cannot_be_renamed_and_is_refused(folder, monkeypatch):
    """Fault E3: what cannot be renamed was found at the end, when the run was lost."""
    (folder / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    refused("disk", "is a mount point")
    check_folder(folder / "disk" / "out", "output")


@pytest.mark.parametrize("name", ["n" * 250, "n" * 300, "ü" * 124, "/".join(["n" * 200] * 21)])
def test_a_name_without_room_for_what_lies_beside_is_refused(name):
    """Fault E3: .NAME.partial was too long for the file system, after the model had been read."""
    refused(name, "long")


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_is_no_path_is_refused(name):
    """Fault E3: a path with NUL ended as a fault of holdfast."""
    with pytest.raises(ConfigError, match="is no path"):
        WholeFolder(Path(name)).check()


def test_a_link_to_a_folder_is_followed(folder):
    """Fault E3: a link to an empty folder could not be replaced, and the finished run was lost."""
    (folder / "disk").mkdir()
    (folder / "out").symlink_to("disk")
    with WholeFolder(Path("out")).writing() as partial:
        (partial / "a").touch()
    assert (folder / "out").is_symlink()
    assert [p.name for p in (folder / "disk").iterdir()] == ["a"]
    assert sorted(p.name for p in folder.iterdir()) == ["disk", "out"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_at_once(folder, capfd, command):
    """Fault E3: a pipe given as output made commands wait or lose their run."""
    pipe(folder / "it")
    assert main([*COMMANDS[command], "it"]) == 2
    assert "is a pipe: give a folder" in capfd.readouterr().err
    assert stat.S_ISFIFO((folder / "it").lstat().st_mode)
    assert [p.name for p in folder.iterdir()] == ["it"]


@pytest.mark.parametrize("thing", THINGS[:-1])
def test_a_file_replaces_no_special_file(folder, thing):
    """Fault E3: result.save and write_report put a file in the place of a device or pipe."""
    thing(folder / "it")
    before = _what(folder / "it")
    with pytest.raises(ConfigError):
        write_whole(folder / "it", "text")
    assert _what(folder / "it") == before


def _what(path):
    """What stands there, by all but the time of the last look."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_rdev, found.st_mtime_ns, found.st_size


@pytest.mark.parametrize("command", COMMANDS)
def test_a_home_that_no_shell_has_read_is_refused_at_once(folder, capsys, monkeypatch, command):
    """``--output=~/x`` wrote into a folder named ~ in the current one."""
    monkeypatch.setenv("HOME", "/home/me")
    *given, flag = COMMANDS[command]
    assert main([*given, f"{flag}=~/x"]) == 2
    assert "none has read it here: write /home/me/x" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_an_input_is_no_home_either_and_a_folder_of_that_name_is_meant(folder, capsys):
    assert main(["evaluate", "--model=~/m", "--harmful=organism"]) == 2
    assert "--model ~/m: ~ is your home to a shell" in capsys.readouterr().err
    assert main(["data", "~/rows.jsonl"]) == 2
    assert "~ is your home to a shell" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="none has read it here"):
        write_whole(Path("~/x.json"), "text")
    (folder / "~").mkdir()
    check_folder(Path("~/x"), "output")
    check_folder(Path("~nobody"), "output")


def test_a_folder_that_cannot_be_looked_at_is_named(folder, monkeypatch):
    def denied(self, **_):
        raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(ConfigError, match="cannot be entered"):
        check_folder(folder / "a", "output")


def test_a_folder_that_is_written_into_needs_no_room_beside_it(folder, monkeypatch):
    """``--out .`` was an IndexError, and a volume in a read-only root could not be given."""
    (folder / "volume").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name == "volume")
    check_folder(Path("volume"), "out", replaced=False)
    check_folder(Path("volume/new"), "out", replaced=False)
    with pytest.raises(ConfigError, match="cannot be written"):
        check_folder(Path("volume"), "out")
    with pytest.raises(ConfigError, match="cannot be written"):
        check_folder(Path("other"), "out", replaced=False)
    monkeypatch.chdir("volume")
    check_folder(Path(), "out", replaced=False)
