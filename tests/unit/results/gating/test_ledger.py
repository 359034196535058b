"""The ledger: same look, next look, new series; damage is an error; writers wait."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.errors import ConfigError, InputError, NewerFileError
from holdfast.results.gating.ledger import Ledger, Look, held_ledger, ledger_beside


def look(number, identity="a", **changes):
    made = {"prompts": "p", "delta": 0.01, "created": "now", "verdicts": {"hs": "pass"}}
    return Look.model_validate({"number": number, "identity": identity, **made, **changes})


def spent(*looks):
    """A ledger after looks at (prompts, identity), and their numbers."""
    ledger, numbers = Ledger(), []
    for prompts, identity in looks:
        numbers.append(ledger.number(prompts, identity))
        ledger = ledger.with_look(prompts, look(numbers[-1], identity))
    return ledger, numbers


def test_the_next_artefact_is_the_next_look_and_the_same_one_is_not():
    ledger, numbers = spent(("xy", "a"), ("xy", "b"), ("xy", "a"), ("xy", "c"))
    assert numbers == [1, 2, 1, 3]
    assert [one.number for one in ledger.series[0].looks] == [1, 2, 3]


def test_only_wholly_new_prompts_begin_anew():
    ledger, numbers = spent(("xy", "a"), ("zw", "b"), ("yz", "c"), ("q", "d"))
    assert numbers == [1, 1, 3, 1]  # yz joins both series, and pays for both.
    assert [sorted(one.prompts) for one in ledger.series] == [["w", "x", "y", "z"], ["q"]]


def test_the_same_look_takes_further_verdicts():
    ledger = Ledger().with_look("xy", look(1)).with_look("xy", look(1, verdicts={"fa": "fail"}))
    assert ledger.series[0].looks[0].verdicts == {"hs": "pass", "fa": "fail"}


def test_what_was_written_is_read(tmp_path):
    path = ledger_beside(tmp_path / "gate.yaml")
    assert path.name == "gate.ledger.json"
    assert Ledger.load(path) == Ledger()
    ledger, _ = spent(("xy", "a"))
    ledger.save(path)
    assert Ledger.load(path) == ledger


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "a look less": lambda text: text.replace('"number": 1', '"number": 0'),
    "another document": lambda _: '{"a": 1}',
    "a list": lambda _: "[]",
    "of a version that is none": lambda text: json.dumps(_newer(json.loads(text), "1")),
    "of another kind": lambda text: json.dumps(_other(json.loads(text))),
}


def _newer(found, version):
    from holdfast.files.sealing.documents import _digest  # noqa: PLC0415  # To seal it rightly.

    said = {**found["said"], "schema_version": version}
    return {"said": said, "sha256": _digest(said)}


def _other(found):
    from holdfast.files.sealing.documents import _digest  # noqa: PLC0415  # To seal it rightly.

    said = {"schema_version": 1, "looks": 3}
    return {"said": said, "sha256": _digest(said)} | {"was": len(found)}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_is_no_fresh_start(tmp_path, damage):
    path = tmp_path / "gate.ledger.json"
    spent(("xy", "a"))[0].save(path)
    path.write_text(DAMAGE[damage](path.read_text()))
    with pytest.raises(InputError, match="restore it from version control"):
        Ledger.load(path)


def test_a_newer_ledger_asks_for_a_newer_holdfast_alone(tmp_path):
    """It said to restore the ledger too: the one before knows of no later look."""
    path = tmp_path / "gate.ledger.json"
    spent(("xy", "a"))[0].save(path)
    path.write_text(json.dumps(_newer(json.loads(path.read_text()), 99)))
    with pytest.raises(NewerFileError, match=r"upgrade holdfast$"):
        Ledger.load(path)


def test_a_link_that_leads_nowhere_is_no_fresh_start(tmp_path):
    path = tmp_path / "gate.ledger.json"
    path.symlink_to(tmp_path / "gone.json")
    with pytest.raises(InputError, match="the ledger"):
        Ledger.load(path)


def test_writers_at_the_same_time_each_have_their_own_look(tmp_path):
    path = tmp_path / "gate.ledger.json"

    def one(name):
        with held_ledger(path) as ledger:
            number = ledger.number("xy", name)
            ledger.with_look("xy", look(number, name)).save(path)
            return number

    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(one, "abcdef"))
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert [f.name for f in tmp_path.iterdir()] == ["gate.ledger.json"]


def test_a_lock_that_is_not_given_back_is_told(tmp_path):
    path = tmp_path / "gate.ledger.json"
    busy = pytest.raises(ConfigError, match="another run is writing it")
    with held_ledger(path), busy, held_ledger(path, wait=0.1):
        pass


def test_what_no_waiting_frees_is_told_at_once(tmp_path):
    path = tmp_path / "gate.ledger.json"
    (tmp_path / ".gate.ledger.json.lock").write_text("somebody's notes")
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="is not holdfast's"), held_ledger(path, wait=30.0):
        pass
    assert time.monotonic() - begun < 5
