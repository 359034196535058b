"""What cells share is found when damaged, and a half-made one is never taken."""

import json

import pytest

from holdfast.files.once import once, shared_path


def counted(content="told\n"):
    made = []

    def make(target):
        made.append(target)
        target.write_text(content)

    return make, made


def test_made_once_and_found_again(tmp_path):
    make, made = counted()
    path = shared_path(tmp_path, "thing", [1, "a"], ".txt")
    assert once(path, make) == path
    once(path, make)
    assert path.read_text() == "told\n"
    assert len(made) == 1
    assert made[0] != path


def test_the_name_is_all_that_made_it(tmp_path):
    names = {shared_path(tmp_path, "thing", made_of) for made_of in ([1], [2], [1, None], {"a": 1})}
    assert len(names) == 4
    assert shared_path(tmp_path, "thing", {"a": 1, "b": 2}) == shared_path(
        tmp_path, "thing", {"b": 2, "a": 1}
    )


@pytest.mark.parametrize("damage", ["tolt\n", "", "told\n\n"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    make, made = counted()
    path = once(tmp_path / "shared" / "thing.txt", make)
    path.write_text(damage)
    once(path, make)
    assert path.read_text() == "told\n"
    assert len(made) == 2


def test_a_folder_with_a_file_missing_or_one_too_many_is_made_again(tmp_path):
    made = []

    def make(target):
        made.append(target)
        target.mkdir()
        (target / "run.json").write_text(json.dumps({"seconds": 1.0}))
        (target / "weights").write_bytes(b"\0" * 8)

    path = once(tmp_path / "thing", make)
    (path / "weights").unlink()
    once(path, make)
    (path / "left.over").write_text("")
    once(path, make)
    assert sorted(file.name for file in path.iterdir()) == ["run.json", "weights"]
    assert len(made) == 3


def test_a_maker_that_fails_leaves_nothing_that_is_taken(tmp_path):
    path = tmp_path / "thing"

    def fails(target):
        target.mkdir()
        (target / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        once(path, fails)
    assert not path.exists()
    make, made = counted()
    assert once(path, make).read_text() == "told\n"
    assert len(made) == 1


def test_a_kill_between_the_digest_and_the_rename_is_made_again(tmp_path):
    make, made = counted()
    path = once(tmp_path / "thing", make)
    path.unlink()  # The digest stands, what it is of does not.
    assert once(path, make).read_text() == "told\n"
    assert len(made) == 2
