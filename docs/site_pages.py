"""What the site has beyond ``docs/``: methods' cards, the API, and pages from the root.

Files link to one another as they lie in the repository, so that they can be read there; where the
site keeps a file elsewhere, or not at all, its links are turned here.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from holdfast.defenses import built_in

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files of the root that are pages of the site."""
CARD = "src/holdfast/defenses/{}/card.md"
ROOMS = {
    "holdfast": "What most programs need: the trainers, the defenses, `protect` and `repair`.",
    "holdfast.defense": "The protocol of a defense.",
    "holdfast.testing": "Suites that check a defense, a judge or a format of your own.",
    "holdfast.evaluation": "Generation, judges, metrics and statistics.",
    "holdfast.data": "From files to examples.",
    "holdfast.results": "What a run leaves behind.",
    "holdfast.organism": "The built-in test model and its world.",
    "holdfast.errors": "Everything that is raised on purpose.",
}
"""Modules of the API reference, and what each is for."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(\s*([^)#\s]+)(#[^)\s]*)?\s*\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie below ``docs/``."""
    for name, text in _added().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links of the site."""
    return turned(markdown, _home(page.file.src_uri), page.file.src_uri)


def _added() -> dict[str, str]:
    methods = {f"methods/{n}.md": (ROOT / CARD.format(n)).read_text() for n in built_in()}
    rooms = {f"reference/{name}.md": _reference(name, told) for name, told in ROOMS.items()}
    root = {page: (ROOT / file).read_text() for file, page in FROM_ROOT.items()}
    return {"methods/index.md": _methods(), **methods, **rooms, **root}


def _methods() -> str:
    rows = ["| method | acts | what it does | cost |", "|---|---|---|---|"]
    for name, kind in built_in().items():
        card = kind.card
        rows.append(f"| [{name}]({name}.md) | {card.stage} | {card.summary} | {card.cost} |")
    head = "# Methods\n\nOne page for each, written from its card: equation, defaults with their "
    return head + "sources, deviations, and what was measured.\n\n" + "\n".join(rows) + "\n"


def _reference(name: str, told: str) -> str:
    return f"# {name}\n\n{told}\n\n::: {name}\n"


def _home(page: str) -> str:
    """Return the repository's path of a page."""
    if page.startswith("methods/") and page != "methods/index.md":
        return CARD.format(Path(page).stem)
    back = {site: file for file, site in FROM_ROOT.items()}
    return back.get(page, f"docs/{page}")


def turned(markdown: str, home: str, page: str) -> str:
    """Return a page with its links to files of the repository turned to pages of the site.

    Args:
        markdown: The page.
        home: Where it lies in the repository.
        page: Where it lies in the site.
    """

    def one(found: re.Match[str]) -> str:
        image, text, target, anchor = found.groups(default="")
        if "://" in target or target.startswith("mailto:"):
            return found.group()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(home), target))
        site = site_of(path)
        if site is None:
            return f"{text} (`{path}`)" if text.strip("`") != path else text
        return f"{image}[{text}]({posixpath.relpath(site, posixpath.dirname(page) or '.')}{anchor})"

    return LINK.sub(one, markdown)


def site_of(path: str) -> str | None:
    """Return the site's path of a file of the repository; None where the site has it not."""
    if path == "README.md":
        return "index.md"
    if path in FROM_ROOT:
        return FROM_ROOT[path]
    if found := re.fullmatch(
        CARD.replace(".", r"\.").format(r"(\w+)").replace(r"\.md", ".md"), path
    ):
        return f"methods/{found[1]}.md"
    kept = path.startswith("docs/") and not path.endswith(".py") and (ROOT / path).is_file()
    return path.removeprefix("docs/") if kept else None
