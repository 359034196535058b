"""What ``holdfast inspect`` prints: a page for a terminal of 80 columns."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.commands.inspect import Inspection

__all__ = ["lines_of"]

WIDTH, HEAD = 80, 14
BLANK = "\N{NO-BREAK SPACE}"


def lines_of(found: "Inspection") -> Iterator[str]:
    """Yield the lines of the page."""
    yield f"{found.model}: {found.architecture} ({found.classes})"
    yield ""
    for head, text in _facts(found):
        yield from _told(head, text)
    for title, part in (
        ("Layers", _layers(found)),
        ("Adapter", _adapter(found)),
        ("Methods", _methods(found)),
        ("Chat template", _chat(found)),
    ):
        lines = list(part)
        if lines:
            yield from ("", title, *lines)
    for note in found.notes:
        yield ""
        yield from _wrapped(f"note: {note}", "")


def _facts(found: "Inspection") -> Iterator[tuple[str, str]]:
    numbers = found.numbers
    if numbers.decoder is None:
        yield "parameters", f"{_count(numbers.total)}; its decoder layers are not found"
    else:
        tied = ", tied" if numbers.tied else ""
        yield (
            "parameters",
            (
                f"{_count(numbers.total)}: {_count(numbers.decoder)} in the decoder layers, "
                f"{_count(numbers.embeddings)} in embeddings{tied}, "
                f"{_count(numbers.other or 0)} other"
            ),
        )
    if numbers.lora is not None:
        share = numbers.lora / numbers.total
        yield "LoRA", f"r = 8 on all linear layers trains {_count(numbers.lora)} ({share:.2%})"
    yield "context", "not told" if found.context is None else f"{found.context} tokens"
    yield "vocabulary", found.vocabulary
    yield "type", found.dtype or "not told"
    yield "quantization", found.quantization or "none"
    yield "license", found.license or "not told by a model card here"
    if found.weights is None:
        yield "weights", "on the hub; only its config and tokenizer were fetched"


def _layers(found: "Inspection") -> Iterator[str]:
    layers = found.layers
    if layers.why:
        yield from _wrapped(layers.why, "  ")
    for group in layers.groups:
        # A role and its sizes are never parted at the end of a line.
        told = (f"{role} {size}".replace(" ", BLANK) for role, size in group.roles.items())
        roles = f"{BLANK * 2} ".join(told)
        yield from _told(group.layers, roles, keep=True)
    for kind, count in layers.left_out.items():
        yield from _wrapped(f"not adapted or changed by role: {kind}, {_count(count)}", "  ")


def _adapter(found: "Inspection") -> Iterator[str]:
    facts = found.adapter
    if facts is None:
        return
    kinds = ", ".join(f"{kind} in {n} modules" for kind, n in facts.kinds.items())
    yield from _told("kind", kinds or "none that changes a module")
    targets = ", ".join(f"{name} ×{n}" for name, n in facts.targets.items())
    yield from _told("modules", targets)
    yield from _told("rank", f"{facts.rank}, alpha {facts.alpha:g}")
    yield from _told("parameters", _count(facts.parameters))
    marked = "its weights are compared when it is loaded" if facts.marked else "by its name alone"
    yield from _told("base", f"{facts.base or 'not told'}: {marked}")


def _methods(found: "Inspection") -> Iterator[str]:
    told: dict[str, str] = {}
    width = max((len(method.name) for method in found.methods), default=0) + 1
    for method in found.methods:
        state = "works" if method.works else "refused"
        first = told.setdefault(method.why, method.name)
        why = method.why if first == method.name else f"as {first}"
        yield from _told(method.name, f"{state}: {why}" if method.why else state, width=width)


def _chat(found: "Inspection") -> Iterator[str]:
    chat = found.chat
    if chat.fault:
        yield from _told("not usable", chat.fault)
    if chat.sha256 is None:
        yield from _told("stop tokens", ", ".join(chat.stops) or "none")
        return
    yield from _told("SHA-256", chat.sha256, keep=True)
    yield from _told("stop tokens", ", ".join(chat.stops) or "none")
    yield from _told("opens with", repr(chat.generation_prompt))
    yield from _told("system", chat.system)
    yield from _told("thinking", chat.thinking)
    yield from _told("date", chat.date)
    yield "  two turns, as the model reads them:"
    for line in chat.example.split("\n"):
        for part in textwrap.wrap(line, WIDTH - 4, drop_whitespace=False) or [""]:
            yield f"  │ {part}"


def _told(head: str, text: str, width: int = HEAD, *, keep: bool = False) -> Iterator[str]:
    """Yield a fact with its head in a column of its own, in lines that are short enough."""
    lines = textwrap.wrap(
        text, WIDTH - width - 2, break_long_words=not keep, break_on_hyphens=False
    )
    for number, line in enumerate(lines or [""]):
        yield f"  {head if number == 0 else '':<{width}}{line}".replace(BLANK, " ").rstrip()


def _wrapped(text: str, before: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=before, subsequent_indent=before)


def _count(number: int) -> str:
    """Return a count as people say it: ``134.5 M``."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(number)
