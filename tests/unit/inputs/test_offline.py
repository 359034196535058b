"""The hub is out of reach, also for child processes, unless a name is on it."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from datasets import config as datasets_config
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import get_session

from holdfast.inputs.guards import network
from holdfast.inputs.guards.network import local_only, names_hub, offline_where_local


def state():
    variable = os.environ.get("HF_HUB_OFFLINE")
    return constants.HF_HUB_OFFLINE, datasets_config.HF_HUB_OFFLINE, variable


@dataclass
class Config:
    model: str
    more: object = None


@dataclass
class Judged:
    model: str
    judge: list[str]


@dataclass
class Bench:
    recipe: dict


HERE = str(Path(__file__))


@pytest.mark.parametrize(
    ("config", "offline"),
    [
        (Config("organism"), True),
        (Config(HERE, Path("owner/name")), True),
        (Config("owner/name"), False),
        (Config("organism", ["owner/rows:config"]), False),
        (Judged("organism", ["llama_guard_3:model=owner/name"]), False),
        (Judged("organism", [f"llama_guard_3:dtype=float32,model={HERE}"]), True),
        (Judged("organism", ["endpoint:url=https://host.example/v1,model=m"]), True),
        (Bench({"model": "organism", "files": {"task": "rows.jsonl"}, "n": 3}), True),
        (Bench({"model": "organism", "files": {"task": ["owner/rows"]}}), False),
    ],
)
def test_a_command_is_offline_where_all_names_are_local(monkeypatch, config, offline):
    """Fault E9: a run of local inputs alone asked the network."""
    monkeypatch.setattr(network, "hub_answers", lambda: True)
    before = state()
    seen = offline_where_local(lambda _: state())(config)
    assert seen == ((True, True, "1") if offline else before)
    assert state() == before


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    """Fault E14: without a network a hub id hung for 23 s and more, again for each file."""
    monkeypatch.setattr(network, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as hub:
        place = f"http://127.0.0.1:{hub.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", place)
        with local_only(["owner/name"]):
            assert not constants.HF_HUB_OFFLINE
    with local_only(["owner/name"]):
        assert constants.HF_HUB_OFFLINE
    monkeypatch.setattr(network, "getproxies", lambda: {"http": "http://a:1"})
    with local_only(["owner/name"]):
        assert not constants.HF_HUB_OFFLINE, "behind a proxy only the client can tell"


def test_it_ends_with_an_error_too():
    """Fault E9: a run of local inputs alone asked the network."""
    before = state()
    with pytest.raises(ZeroDivisionError), local_only(["organism"]):
        _ = 1 / 0
    assert state() == before


def test_no_request_leaves():
    """Fault E9: a run of local inputs alone asked the network."""
    with local_only(), pytest.raises(OfflineModeIsEnabled):
        get_session().get("https://huggingface.co/api/models/owner/name")


def test_child_processes_are_offline():
    """Fault E9: a run of local inputs alone asked the network."""
    code = "from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"
    with local_only():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    "name", ["a", "a/b/c", "./a/b", "/a/b", HERE, "x" * 5000, "a\0/b", 3, None]
)
def test_what_is_no_hub_id(name):
    assert not names_hub(name)
