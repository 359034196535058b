"""What a chat template writes around an assistant's turn, found by rendering one.

A template may end a turn with a token that the tokenizer does not call its end of sequence: a model
that was tuned on it stops there, and whoever does not know it lets the answer run on.
"""

import re
from typing import Any

__all__ = ["control_like", "generation_prompt", "text_end", "turn_ends"]

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
