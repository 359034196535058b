"""What a chat template writes around an assistant's turn, found by rendering one.

A template may end a turn with a token that the tokenizer does not call its end of sequence: a model
that was tuned on it stops there, and whoever does not know it lets the answer run on.
"""

import re
from typing import Any

from holdfast.errors import ModelError

__all__ = ["check_turns", "control_like", "generation_prompt", "text_end", "turn_ends"]

_SAID = "holdfastsaidthis"
_ASKED = [{"role": "user", "content": "holdfastaskedthis"}]
_TURN = [*_ASKED, {"role": "assistant", "content": _SAID}]
_CONTROL = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]|<\|[^<>]+\|>|◁[^◁▷]+▷")


def turn_ends(tokenizer: Any) -> tuple[int, ...]:
    """Return the token that the template writes right after an assistant's turn, if it is one.

    Text that ends a turn and is no control token is not returned: an answer may hold it.
    """
    # A template may end only those turns that another one follows.
    for turns in (_TURN, [*_TURN, *_ASKED]):
        after = _after(tokenizer, turns)
        if after.strip():
            found = _first_control(tokenizer, after)
            return () if found is None else (found,)
    return ()


def text_end(tokenizer: Any) -> str:
    """Return the text that ends an assistant's turn where no single token does, else ""."""
    if turn_ends(tokenizer):
        return ""
    asked = str(_ASKED[0]["content"])
    for turns in (_TURN, [*_TURN, *_ASKED]):
        after = _after(tokenizer, turns).partition(asked)[0].strip()
        if after:
            # A token that is the end of sequence anyway stops a server.
            return "" if after.startswith(str(tokenizer.eos_token)) else after
    return ""


def generation_prompt(tokenizer: Any) -> str:
    """Return what the template writes behind a question to open the answer."""
    plain = _rendered(tokenizer, _ASKED, generation=False)
    opened = _rendered(tokenizer, _ASKED, generation=True)
    return opened.removeprefix(plain)


def check_turns(tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where the template of a model that answers opens or ends no answer.

    A judge's template need not: its last turn is the answer that it judges.
    """
    _refuse_unopened(tokenizer, shown)
    _refuse_unended(tokenizer, shown)


def _refuse_unopened(tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where a prompt ends before what opens an answer.

    The model would have to write its own header, such as ``assistant:``, as part of the answer.
    Templates in which a question's own end opens the answer need no generation prompt.
    """
    asked, whole = (_rendered(tokenizer, turns, generation=turns is _ASKED)
                    for turns in (_ASKED, _TURN))  # fmt: skip
    if generation_prompt(tokenizer) or not asked or not whole.startswith(asked):
        return
    header = whole.removeprefix(asked).partition(_SAID)[0].strip()
    if header:
        raise ModelError(
            f"{shown}: its chat template has no generation prompt: it writes {header[:40]!r} in "
            "front of an answer and not behind a question, so that the model would have to write "
            "it itself: end the template with {% if add_generation_prompt %}…{% endif %} and give "
            "it with `chat_template=FILE.jinja`"
        )


def _refuse_unended(tokenizer: Any, shown: str) -> None:
    """Raise ``ModelError`` where nothing stands behind an assistant's turn.

    A model that is tuned on it never learns to stop, and its answers run on.
    """
    text = _rendered(tokenizer, _TURN, generation=False)
    if _SAID not in text or text.rpartition(_SAID)[2].strip() or turn_ends(tokenizer):
        return
    end = tokenizer.eos_token or "the end token"
    raise ModelError(
        f"{shown}: its chat template ends no answer: nothing stands behind an assistant's message, "
        f"so that a model tuned on it never stops: write {end} behind it and give the template "
        "with `chat_template=FILE.jinja`"
    )


def control_like(text: str) -> bool:
    """Tell whether a token's text looks like markup and not like language."""
    return bool(_CONTROL.fullmatch(text))


def _after(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    _, found, after = _rendered(tokenizer, turns, generation=False).rpartition(_SAID)
    return after if found else ""


def _rendered(tokenizer: Any, turns: list[dict[str, str]], *, generation: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=generation
        )
    except Exception:  # noqa: BLE001  # A template is a program of the model's author.
        return ""  # Whoever renders the real messages says what is wrong.
    return text if isinstance(text, str) else ""


def _first_control(tokenizer: Any, after: str) -> int | None:
    """Return the first token of ``after`` that is no blank, if it is a control token."""
    special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", ()))
    special -= {tokenizer.unk_token_id}
    for token in tokenizer.encode(after, add_special_tokens=False):
        text = str(tokenizer.decode([token])).strip()
        if text:
            known = token != tokenizer.unk_token_id and control_like(text)
            return token if token in special or known else None
    return None
