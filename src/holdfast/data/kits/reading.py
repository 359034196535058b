"""The rows of a kit: from a local copy, else from the hub at a known commit."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from huggingface_hub import HfApi

from holdfast.data.formats import RawRow
from holdfast.data.formats.hub import read_hub
from holdfast.data.kits.kit import Hub
from holdfast.data.kits.local import VARIABLE, folders, local_file
from holdfast.data.kits.registry import Chosen, chosen
from holdfast.data.kits.templates import KitRows
from holdfast.data.sources.files import files_of
from holdfast.data.sources.tables import Table, table_of
from holdfast.errors import DataError, reason_of

__all__ = ["Origin", "kit_rows", "kit_table", "origin_of"]


@dataclass(frozen=True)
class Origin:
    """Where the rows of a kit come from."""

    chosen: Chosen
    file: Path | None
    """The local copy; None where the hub is asked."""
    commit: str | None = None
    """The hub's commit."""

    def told(self) -> str:
        """Return one line for a result: the kit, its licence and the exact source."""
        kit = self.chosen.kit
        if self.file is not None:
            with self.file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            source = f"{self.file} (sha256 {digest[:12]})"
        else:
            hub = self.chosen.part.hub
            source = f"hub {hub.id if hub else ''} at {self.commit}"
        return f"{kit.title}; licence {kit.licence}; from {source}"


def origin_of(source: str) -> Origin:
    """Return where a kit's rows are, a local copy first; the hub's commit is looked up here.

    Args:
        source: ``kit:NAME/PART`` or ``kit:NAME/PART@COMMIT``.

    Raises:
        DataError: There is no local copy and no place on the hub, or the hub does not tell its
            newest commit (it is gated, out of reach, or gone).
    """
    found = chosen(source, None, "kit")
    if (file := local_file(found.part)) is not None:
        return Origin(found, file)
    hub = found.part.hub
    if hub is None:
        raise DataError(f"{found.name}: {_no_copy(found)}: it is published at {found.kit.source}")
    return Origin(found, None, found.commit or hub.revision or _newest(hub, found))


def kit_rows(source: str) -> Iterator[RawRow]:
    """Yield the rows of a kit as rows of ``prompt`` and, where it has answers, ``completion``.

    Raises:
        DataError: It cannot be found (see ``origin_of``) or read, or a row does not fit the kit.
    """
    origin = origin_of(source)
    rows = KitRows(origin.chosen)
    raw = _from_file(origin.file) if origin.file else _from_hub(origin)
    kept = 0
    for each in raw:
        row = rows.row(each)
        if row is not None:
            kept += 1
            yield row
    if not kept:
        where = origin.chosen.part.where
        raise DataError(f"{origin.chosen.name}: no row fits its condition: {where}")


def kit_table(source: str) -> Table:
    """Return the table of a kit, which is looked for when its rows are read."""
    return Table(source, "kit", lambda: origin_of(source).told(), kit_rows(source))


def _from_file(path: Path) -> Iterator[RawRow]:
    for each in files_of(str(path), "train").paths:
        yield from table_of(each).rows


def _from_hub(origin: Origin) -> Iterator[RawRow]:
    hub = origin.chosen.part.hub
    if hub is None:
        raise DataError(f"{origin.chosen.name}: {_no_copy(origin.chosen)}")
    name = f"{hub.id}:{hub.config}" if hub.config else hub.id
    try:
        yield from read_hub(name, hub.split, origin.commit)
    except DataError as error:
        raise DataError(f"{error}{_way_out(origin.chosen, hub)}") from error


def _newest(hub: Hub, found: Chosen) -> str:
    try:
        commit = _newest_of(hub.id)
    except Exception as error:
        # The client raises dozens of types: offline, gated, gone, no such host.
        said = f"the hub does not tell the newest commit of {hub.id} ({reason_of(error)})"
        raise DataError(f"{found.name}: {said}{_way_out(found, hub)}") from error
    if not commit:
        raise DataError(f"{found.name}: the hub tells no commit of {hub.id}{_way_out(found, hub)}")
    return commit


@cache
def _newest_of(hub_id: str) -> str | None:
    """Ask the hub, once: what is recorded must be the commit that was read."""
    return HfApi().dataset_info(hub_id).sha


def _way_out(found: Chosen, hub: Hub) -> str:
    terms = (
        f". {hub.id} is gated: accept its terms on the hub and set HF_TOKEN" if hub.gated else ""
    )
    return f"{terms}; or {_no_copy(found).removeprefix('has no local copy: ')}"


def _no_copy(found: Chosen) -> str:
    names = " or ".join(found.part.files) or "a file of your own"
    searched = ", ".join(map(str, folders())) or "none is set"
    return f"has no local copy: put {names} into a folder of {VARIABLE} (searched: {searched})"
