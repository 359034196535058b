"""A folder with a model, an adapter and data, and ways to make them those of a stranger."""

import errno
import json
import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

ROWS = [{"prompt": question, "completion": answer} for question, answer in tiny_rows(8)]
EVALUATE = ["evaluate", "--model", "model", "--task", "rows.jsonl", "--max-new-tokens", "2"]
TUNE = ["tune", "--model", "model", "--data", "rows.jsonl", "--output", "out", "--max-steps", "1"]
REPAIR = [
    "repair", "--model", "model", "--adapter", "adapter", "--harmful", "rows.jsonl",
    "--output", "repaired",
]  # fmt: skip


class Folder:
    """A working folder whose files can be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        tiny_model().save_pretrained(root / "model")
        tiny_tokenizer().save_pretrained(root / "model")
        (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def adapter(self, name: str = "adapter", **changes: object) -> None:
        """Write a LoRA adapter, its config changed."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            given = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
            adapted = get_peft_model(tiny_model(), given)
        adapted.save_pretrained(self.root / name)
        self.change(f"{name}/adapter_config.json", **changes)

    def change(self, file: str, **changes: object) -> None:
        """Change keys of a JSON file."""
        path = self.root / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class Bomb:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.fixture
def strange(tmp_path, monkeypatch) -> Generator[Folder]:
    """A working folder in which nothing may reach the network."""

    asked: list[object] = []

    def refuse(*where: object, **_: object) -> None:
        asked.append(where)
        raise OSError(errno.ENETUNREACH, "no network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    yield Folder(tmp_path)
    assert not asked, "the network was asked"
