"""Which kits there are, and which one a text names.

``advbench`` names a kit where no file or folder of that name is there; ``advbench/PART`` one part
of it, ``advbench@COMMIT`` another commit of the hub, and a ``.yaml`` file a kit of one's own.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from holdfast.data.kits.kit import Kit, Part, kit_in, kit_of_text
from holdfast.errors import ConfigError, nearest

__all__ = ["PREFIX", "Chosen", "chosen", "is_kit", "kits", "named_kit"]

PREFIX = "kit:"
"""What a source begins with once it is known to be a kit."""
_TEXT = re.compile(r"(?P<kit>[a-z0-9][a-z0-9_-]*)(/(?P<part>[\w-]+))?(@(?P<commit>[0-9a-f]{40}))?")
_FILE = re.compile(r"(?P<kit>.+\.ya?ml)(/(?P<part>[\w-]+))?")


@dataclass(frozen=True)
class Chosen:
    """One part of one kit."""

    kit: Kit
    part_name: str
    commit: str | None = None
    """The commit of the hub that the user wants instead of the kit's."""
    file: str | None = None
    """The YAML file of a kit that does not come with holdfast."""

    @property
    def part(self) -> Part:
        """The part."""
        return self.kit.parts[self.part_name]

    @property
    def name(self) -> str:
        """What an error and a result call it."""
        return f"{self.kit.name}/{self.part_name}"

    @property
    def source(self) -> str:
        """The text that names just this."""
        commit = f"@{self.commit}" if self.commit else ""
        return f"{PREFIX}{self.file or self.kit.name}/{self.part_name}{commit}"


@cache
def kits() -> dict[str, Kit]:
    """Return the kits that come with holdfast, by name."""
    folder = files("holdfast.data.kits.catalogue")
    texts = sorted(each.name for each in folder.iterdir() if each.name.endswith(".yaml"))
    found = [kit_of_text(folder.joinpath(name).read_text("utf-8"), name) for name in texts]
    return {kit.name: kit for kit in found}


def is_kit(source: str) -> bool:
    """Tell whether a source is a kit's; its columns are known then."""
    return source.startswith(PREFIX)


def named_kit(text: str) -> bool:
    """Tell whether a source is meant as a kit: its name or ``kit:``, and no file is called so."""
    if is_kit(text):
        return True
    # ``Path`` raises on a long name, and several files with commas are one.
    if os.path.exists(text):  # noqa: PTH110
        return os.path.isfile(text) and _FILE.fullmatch(text) is not None  # noqa: PTH113
    found = _TEXT.fullmatch(text) or _FILE.fullmatch(text)
    return found is not None and (found["kit"] in kits() or os.path.isfile(found["kit"]))  # noqa: PTH113


def chosen(text: str, role: str | None, field: str) -> Chosen:
    """Return the part that ``text`` names, or else the one that serves as ``role``.

    Raises:
        ConfigError: There is no such kit or part, or none of its parts serves as ``role``.
    """
    shown, given = f"`{field}={text}`", text.removeprefix(PREFIX)
    file = _FILE.fullmatch(given)
    if file is not None:
        kit = kit_in(Path(file["kit"]))
        return Chosen(kit, _part(kit, file["part"], role, shown), file=file["kit"])
    found = _TEXT.fullmatch(given)
    if found is None:
        wanted = "write NAME, NAME/PART or NAME@COMMIT (40 hexadecimal digits)"
        raise ConfigError(f"{shown}: is no name of a kit: {wanted}")
    kit = kits().get(found["kit"])
    if kit is None:
        hint = nearest(found["kit"], kits())
        raise ConfigError(
            f"{shown}: unknown kit {found['kit']!r}, known: {', '.join(kits())}.{hint}"
        )
    return Chosen(kit, _part(kit, found["part"], role, shown), found["commit"])


def _part(kit: Kit, part: str | None, role: str | None, shown: str) -> str:
    """Return the name of the part that is wanted of a kit."""
    by_role: dict[str, str] = {str(name): served for name, served in kit.roles.items()}
    if part is None and role not in by_role:
        served = ", ".join(by_role)
        raise ConfigError(
            f"{shown}: {kit.name} has no rows that serve as {role}; it serves as {served}. "
            f"Name one of its parts ({', '.join(kit.parts)}) as {kit.name}/PART, or give a file"
        )
    name = part or by_role[str(role)]
    if name not in kit.parts:
        hint = nearest(name, kit.parts)
        parts = ", ".join(kit.parts)
        raise ConfigError(f"{shown}: {kit.name} has no part {name!r}, it has {parts}.{hint}")
    return name
