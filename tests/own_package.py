"""The packages of the pages in ``docs/``, put on the path as an installer leaves them."""

import re
import sys
import tomllib
from pathlib import Path

from holdfast.data.checks import CHECKS
from holdfast.data.formats import FORMATS
from holdfast.data.shapes import SHAPES
from holdfast.defenses import DEFENSES
from holdfast.inputs.judging import judges

DOCS = Path(__file__).resolve().parents[1] / "docs"


def block(language, page="own_method.md", number=0):
    """One of the page's blocks in this language."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.S)[number]


def points_of(page, number=0):
    """The entry points of one of the page's blocks: group → name → value."""
    return tomllib.loads(block("toml", page, number))["project"]["entry-points"]


CODE = block("python")
BOTH = CODE + block("python", number=1)
POINTS = points_of("own_method.md")[DEFENSES.group]


def write(path, text):
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def install_in(site, code, points, package, dist):
    """Write a package and what tells importlib.metadata of its entry points, by group."""
    write(site / package / "__init__.py", code)
    info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = []
    for group, named in points.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in named.items()), ""]
    write(info / "entry_points.txt", "\n".join(lines))


def look_again():
    """Let every registry see what is on the path now."""
    for registry in (DEFENSES, FORMATS, SHAPES, CHECKS, judges()):
        registry.forget()


def uninstall():
    """Forget the packages of the tests."""
    for name in [n for n in sys.modules if n in ("my_package", "other_package")]:
        del sys.modules[name]
    look_again()
