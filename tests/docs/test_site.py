"""The site's pages from outside ``docs/``, and links that lead where the site keeps a file."""

import pytest

pytest.importorskip("mkdocs", reason="the extra docs is not installed")

from mkdocs.commands.build import build
from mkdocs.config import load_config
from site_pages import ROOT, site_of, turned

TURNED = {
    "a card": ("[x](../src/holdfast/defenses/swat/card.md)", "bench.md", "[x](methods/swat.md)"),
    "from a folder": ("[x](../bench.md#keys)", "tutorials/a.md", "[x](../bench.md#keys)"),
    "of the root": ("[x](../SECURITY.md)", "threat_model.md", "[x](security.md)"),
    "what the site has not": (
        "[x](../results/bench/report.html)", "bench.md", "x (`results/bench/report.html`)",
    ),
    "a picture": ("![x](images/bench.png)", "index.md", "![x](images/bench.png)"),
    "elsewhere": ("[x](https://arxiv.org/abs/1)", "index.md", "[x](https://arxiv.org/abs/1)"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "page", "wanted"), TURNED.values(), ids=TURNED)
def test_links_of_the_repository_become_links_of_the_site(given, page, wanted):
    assert turned(given, f"docs/{page}", page) == wanted


def test_a_card_links_from_where_it_lies():
    home, page = "src/holdfast/defenses/swat/card.md", "methods/swat.md"
    assert turned("[x](../panacea/card.md)", home, page) == "[x](panacea.md)"
    assert turned("[x](../../../../docs/bench.md)", home, page) == "[x](../bench.md)"


def test_files_that_are_no_pages_are_none():
    assert site_of("docs/build.py") is None
    assert site_of("docs/no_such.md") is None


@pytest.mark.slow
@pytest.mark.thorough
def test_the_site_builds_and_a_dead_link_stops_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    settings = {"config_file": str(ROOT / "mkdocs.yml"), "site_dir": str(tmp_path / "site")}
    build(load_config(**settings))
    assert (tmp_path / "site" / "methods" / "swat.html").is_file()
    page = (tmp_path / "site" / "which_defense.html").read_text()
    assert 'href="methods/security_vectors.html"' in page


def test_every_page_is_in_the_navigation_or_left_out_by_name():
    """A page that nothing lists is found by nobody: the strict build stops at it."""
    settings = (ROOT / "mkdocs.yml").read_text()
    assert "omitted_files: warn" in settings
    left_out = settings.partition("not_in_nav: |\n")[2].partition("\n\n")[0].split()
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs"))
        assert f": {name}\n" in settings or any(name.startswith(part) for part in left_out), name
