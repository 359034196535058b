"""What ``holdfast data`` prints fits a terminal of 80 columns, whatever stands in the file."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from holdfast.cli.printed.data import shown
from holdfast.commands.data_view.look import look_at_data
from holdfast.commands.data_view.options import DataConfig

ESCAPES = "\x1b[31m\u202e\u2066 " * 20
WIDE = "\u6f22\u5b57" * 100


@pytest.mark.parametrize("text", [ESCAPES, WIDE, "\x9b" * 400, "a" * 1000], ids=str.__len__)
def test_no_line_is_wider_than_the_terminal(tmp_path, text):
    path = tmp_path / "d.jsonl"
    row = {"prompt": text, "completion": text, text[:50]: 1, f"b{text[:50]}": 1}
    path.write_text(json.dumps(row))
    seen = SimpleNamespace(row=1, tokens=2, trained=1, pieces=[(text, False), (text, True)])
    model = SimpleNamespace(lengths={}, findings=[], notes=[], shown=[seen])
    found = dataclasses.replace(look_at_data(DataConfig(file=str(path))), model=model)
    lines = list(shown(found))
    assert max(map(cell_len, lines)) <= 80
    assert not any(ord(c) < 32 for line in lines for c in line)
    assert any(line.startswith("- not read:") for line in lines)
