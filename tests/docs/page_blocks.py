"""The blocks of a page of ``docs/``, and how each is run: Python as it is, commands by our own."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from holdfast.cli import main

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```", re.M | re.S
)
RUN = ("python", "sh")
ENDS = re.compile(r"# exit (\d+)$")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and why it is not run ('' where it is)."""

    language: str
    code: str
    why: str = ""


def blocks(text):
    """Every fenced block of a page."""
    return [
        Block(found["language"], found["code"], (found["why"] or "").strip())
        for found in FENCE.finditer(text)
    ]


def run_page(text):
    """Run a page from top to bottom in this folder; names and files are kept between blocks."""
    names = {"__name__": "page"}
    for block in blocks(text):
        if block.why or block.language not in RUN:
            continue
        if block.language == "python":
            exec(compile(block.code, "page", "exec"), names)  # noqa: S102  # Our own page.
        else:
            for words, code in zip(commands(block.code), exits(block.code), strict=True):
                assert words[0] == "holdfast", f"only our own commands run here: {words}"
                assert main(words[1:]) == code, words


def commands(code):
    """The words of every command of a block, comments and empty lines left out."""
    return [words for line in _lines(code) if (words := shlex.split(line, comments=True))]


def exits(code):
    """What every command of a block ends with: 0, or N where ``# exit N`` stands behind it."""
    told = [line for line in _lines(code) if shlex.split(line, comments=True)]
    return [int(found[1]) if (found := ENDS.search(line)) else 0 for line in told]


def _lines(code):
    return code.replace("\\\n", " ").splitlines()
