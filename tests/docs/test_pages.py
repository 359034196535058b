"""README, cards and tutorial say what the code does."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.main import get_command

from holdfast.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def _build():
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  # Our own page.
    assert {a.name for a in names["trainer"].artifacts} == {"security_vectors", "panacea"}
    saved = list((tmp_path / "runs").rglob("security_vectors.safetensors"))
    assert saved, "the example writes a checkpoint"
    kept = {key.split("/")[0] for path in saved for key in load_file(path)}
    assert "vector_" not in kept, "the vector lies apart from checkpoints"


def test_generated_parts_are_current():
    stale = [str(path) for path, text in _build().pages().items() if path.read_text() != text]
    assert not stale, "run `make docs`"


def test_a_stale_part_is_found(tmp_path, monkeypatch):
    build = _build()
    copy = tmp_path / "repo"
    shutil.copytree(
        ROOT / "src" / "holdfast", copy / "src/holdfast", ignore=shutil.ignore_patterns("*.pyc")
    )
    shutil.copytree(ROOT / "docs", copy / "docs")
    shutil.copytree(ROOT / "tests" / "docs", copy / "tests" / "docs")
    (copy / "README.md").write_text(README.replace("| `", "| `x"))
    if "<!-- defenses:start -->" not in README:
        pytest.fail("the README has no place for the table of defenses")
    monkeypatch.setattr(build, "ROOT", copy)
    changed = (copy / "README.md").read_text().replace("security vector", "x", 1)
    (copy / "README.md").write_text(changed.replace("](src/", "](elsewhere/"))
    assert any(path.read_text() != text for path, text in build.pages().items())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


def _options(command):
    return {option for p in command.params for option in p.opts}


def test_commands_in_the_pages_exist():
    commands = get_command(app).commands
    for text in (README, (ROOT / "docs" / "tutorial.md").read_text()):
        joined = text.replace("\\\n", " ")
        for line in re.findall(r"^holdfast .*$", joined, re.M):
            words = line.split("#")[0].split()
            command = commands[words[1]]
            given = {word for word in words if word.startswith("--")}
            assert given <= _options(command), line
