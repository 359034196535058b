"""What the pages of the site show runs as it stands there, or says why it is not run."""

import re

import pytest

from tests.docs.page_blocks import DOCS, RUN, blocks, run_page

TUTORIALS = sorted(str(path.relative_to(DOCS)) for path in (DOCS / "tutorials").glob("*.md"))
LOOP = ["release.md", "screen.md", "drift.md", "choose.md"]
RUNNABLE = ["index.md", "errors.md", *LOOP, *TUTORIALS]
ELSEWHERE = {
    "own_method.md": "test_own_method",
    "doors.md": "test_doors",
}
"""Pages whose blocks other tests run."""


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page((DOCS / page).read_text())


def test_every_page_with_python_is_run_somewhere():
    pages = {
        str(path.relative_to(DOCS))
        for path in DOCS.rglob("*.md")
        if any(b.language == "python" and not b.why for b in blocks(path.read_text()))
    }
    assert pages <= {*RUNNABLE, *ELSEWHERE}


def test_what_is_not_run_has_a_reason_and_a_language():
    for page in RUNNABLE:
        found = blocks((DOCS / page).read_text())
        assert all(block.language for block in found), page
        assert any(block.language in RUN and not block.why for block in found), page
        assert len(found) == len(re.findall(r"^```\w+$", (DOCS / page).read_text(), re.M)), page


def test_a_command_may_say_what_it_ends_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page("```sh\nholdfast gate nothing  # exit 2\nholdfast list\n```\n")
    with pytest.raises(AssertionError):
        run_page("```sh\nholdfast gate nothing  # exit 3\n```\n")


PLANTED = {
    "a name that is none": "```python\nfrom holdfast import Nothing\n```\n",
    "a flag that is none": "```sh\nholdfast list --every\n```\n",
    "a method that is none": "```sh\nholdfast list panaceas\n```\n",
    "a command of others": "```sh\nrm nothing\n```\n",
}


@pytest.mark.parametrize("text", PLANTED.values(), ids=PLANTED)
def test_a_stale_block_is_seen(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ImportError, AssertionError)):
        run_page(text)
    run_page(f"<!-- not run: planted -->\n{text}")
    assert not list(tmp_path.iterdir())
