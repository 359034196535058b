"""The package of ``docs/own_method.md``, put on the path as an installer leaves it."""

import re
import sys
import tomllib
from pathlib import Path

from holdfast.defenses import DEFENSES
from holdfast.defenses.installed import GROUP

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "own_method.md").read_text()


def block(language):
    """The page's first block in this language."""
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S)[1]


CODE = block("python")
POINTS = tomllib.loads(block("toml"))["project"]["entry-points"][GROUP]


def write(path, text):
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def install_in(site, code, points, package, dist):
    """Write a package and what tells importlib.metadata of its entry points."""
    write(site / package / "__init__.py", code)
    info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    write(info / "entry_points.txt", "\n".join([f"[{GROUP}]", *lines, ""]))


def uninstall():
    """Forget the packages of the tests."""
    for name in [n for n in sys.modules if n in ("my_package", "other_package")]:
        del sys.modules[name]
    DEFENSES.forget()
