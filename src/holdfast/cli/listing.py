# ruff: noqa: PLC0415  # Heavy imports are made when the command runs: --help takes no second.
"""``holdfast list``: the defenses, or the fields of one."""

from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from holdfast.cli.shell.console import print_json, print_rows, say
from holdfast.cli.shell.field_docs import field_docs
from holdfast.cli.shell.options import JsonFlag, default_of

__all__ = ["listing"]


LISTED = ("name", "stage", "strength", "steered", "summary")


def listing(
    name: Annotated[str | None, typer.Argument(help="A defense, or 'kits': public data.")] = None,
    json: JsonFlag = False,
) -> None:
    """List the defenses, the fields of one with their defaults, or the kits of public data."""
    from holdfast.data.checks import CHECKS
    from holdfast.data.formats import FORMATS
    from holdfast.data.shapes import SHAPES
    from holdfast.defenses import DEFENSES, find, registry
    from holdfast.inputs.judging import judges
    from holdfast.inputs.sources.kits import kit_rows

    if name == "kits":
        kits = kit_rows()
        if json:
            print_json({"kits": kits})
        else:
            print_rows("Kits of public data; a name stands where a file can", kits)
        return
    if name is None:
        told = ("name", "stage", "summary", "strength", "cost", "paper")
        rows = [
            {
                **{key: getattr(cls.card, key) for key in told},
                "steered": getattr(cls, "steered", ""),
            }
            for cls in registry().values()
        ]
        title = "Defenses; holdfast list NAME shows the fields of one"
        for known in (DEFENSES, judges(), FORMATS, SHAPES, CHECKS):
            for why in known.unusable().values():
                say(why)
    else:
        cls = find(name)
        docs = field_docs(cls)
        rows = [_field(item, docs, cls.card.data) for item in fields(cls) if item.init]  # type: ignore[arg-type]
        title = f"{name}: {cls.card.summary} Give fields as --defense {name}:key=value,..."
    if json:
        print_json({"defense": name, "fields": rows} if name else {"defenses": rows})
    else:
        keys = ("field", "default", "meaning") if name else LISTED
        print_rows(title, [{key: _shown(row[key]) for key in keys} for row in rows])


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(_shown(part) for part in value)
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _field(item: Field[Any], docs: dict[str, str], data: Sequence[str]) -> dict[str, Any]:
    default = f"--{item.name} FILE" if item.name in data else default_of(item)
    return {"field": item.name, "default": default, "meaning": docs.get(item.name, "")}
