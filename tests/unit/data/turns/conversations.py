"""Conversations of several turns, as rows keep them."""

import json
from typing import Any


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def called(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return said("", tool_calls=[{"id": "abc", "type": "function", "function": function}])


def row(*messages: dict[str, Any], tools: list[Any] | None = None) -> dict[str, Any]:
    """An Example whose column ``rich`` holds the whole conversation."""
    plain = [{name: m[name] for name in ("role", "content")} for m in messages]
    rich = json.dumps({"messages": list(messages), "tools": tools})
    return {"prompt": plain[:-1], "completion": plain[-1:], "rich": rich}


TALK = (
    user("what is the weather?"), said("\nit is sunny"), user(" and in Paris? "), said("rain  "),
    user("why"), said("because"),
)  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
AGENT = (
    user("weather?"), {**called("weather", '{"city": "Paris"}'), "reasoning_content": "I ask"},
    {"role": "tool", "content": 'sun "x"', "tool_call_id": "abc"},
    said("it is sunny", reasoning_content="got it"), user("thanks"),
    said("you are welcome", reasoning_content="polite"),
)  # fmt: skip


def turns_in(encoded: dict[str, list[int]], tokenizer: Any) -> list[str]:
    """The texts of the runs of tokens that have a label."""
    runs: list[list[int]] = [[]]
    for token, label in zip(encoded["input_ids"], encoded["labels"], strict=True):
        if label >= 0:
            assert label == token
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]
