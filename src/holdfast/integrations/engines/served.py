"""A model that a server serves through OpenAI's chat interface, as vLLM and llama.cpp do.

The server renders the prompts with the template that it has: its answers are ours where it serves
the same weights in the same precision with the same template and end tokens.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from holdfast.errors import ConfigError, RunError, nearest
from holdfast.evaluation.generate import Answered
from holdfast.evaluation.reply import Reply, reply_of, whole
from holdfast.integrations.engines.http import GarbageError, Server
from holdfast.integrations.engines.kept import KeptAnswers

__all__ = ["ServedModel", "reply_from"]

Prompt = Sequence[Mapping[str, str]]


class ServedModel:
    """Answers by asking a server, several questions at a time.

    Args:
        server: Below its address lies ``chat/completions``.
        model: What the server calls the model.
        kept: Where answers are kept until they stand in a result.
        size: Most questions that are on their way at the same time.
    """

    def __init__(self, server: Server, model: str, kept: KeptAnswers, size: int) -> None:
        self.server, self.model, self.kept, self.size = server, model, kept, size

    def check(self) -> None:
        """Raise ``ConfigError`` unless the server answers and has the model, where it tells."""
        try:
            document = self.server.ask("models")
        except GarbageError:
            return
        except RunError as error:
            if any(f"HTTP {code}" in str(error) for code in (404, 405, 501)):
                return  # A server need not list its models.
            raise ConfigError(f"`served`: {error}") from error
        rows = document.get("data") if isinstance(document, Mapping) else None
        listed = rows if isinstance(rows, list) else []
        known = [str(row["id"]) for row in listed if isinstance(row, Mapping) and "id" in row]
        if known and self.model not in known:
            raise ConfigError(
                f"`model={self.model}`: the server has {', '.join(known[:5])}: give the name that "
                f"it has.{nearest(self.model, known)}"
            )

    def replies(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int,
        progress: Answered | None = None,
    ) -> list[Reply]:
        """Return the reply to each prompt; those that a stopped run has kept are not asked again.

        Raises:
            RunError: The server failed; says how many answers are kept, and where.
        """
        found = self.kept.found(prompts)
        left = [place for place in range(len(prompts)) if place not in found]

        failed: list[Exception] = []

        def ask(place: int) -> None:
            if failed:
                return  # The server is not asked again after it has failed.
            try:
                found[place] = self._ask(prompts[place], max_new_tokens)
                self.kept.keep(prompts[place], found[place])
            except (RunError, GarbageError) as error:
                failed.append(error)

        with ThreadPoolExecutor(self.size) as pool:
            try:
                for one in as_completed([pool.submit(ask, place) for place in left]):
                    one.result()
                    if progress is not None:
                        progress(len(found), len(prompts))
            finally:
                pool.shutdown(cancel_futures=True)
        if failed:
            raise self._stopped(failed[0], len(found), len(prompts)) from failed[0]
        return [found[place] for place in range(len(prompts))]

    def recorded(self, max_new_tokens: int) -> dict[str, int | str]:
        """Return what was asked for; what the server makes of it is its own."""
        return {"method": "greedy", "max_new_tokens": max_new_tokens, "served": self.server.url}

    def finished(self) -> None:
        """Take the kept answers away."""
        self.kept.forget()

    def _ask(self, prompt: Prompt, max_new_tokens: int) -> Reply:
        body = {
            "model": self.model, "messages": [dict(message) for message in prompt],
            "max_tokens": max_new_tokens, "temperature": 0.0, "n": 1, "stream": False,
        }  # fmt: skip
        return reply_from(self.server.ask("chat/completions", body))

    def _stopped(self, error: Exception, made: int, wanted: int) -> RunError:
        """Return what a reader must know of a run that could not go on."""
        where = self.kept.path
        kept = f"are kept in {where}: the same command goes on from there" if where else (
            "are lost: give `output`, and they are kept"
        )  # fmt: skip
        garbage = f"{self.server.url}: " if isinstance(error, GarbageError) else ""
        return RunError(f"{garbage}{error}; {made} of {wanted} answers were made and {kept}")


def reply_from(document: Any) -> Reply:
    """Return the reply in a chat completion.

    Raises:
        GarbageError: It has no answer where the interface has one.
    """
    try:
        [choice] = document["choices"]
        message = choice["message"]
        # A server that tells refusals apart has the words there, and no content.
        content = message.get("content") or message.get("refusal") or ""
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        cut = choice.get("finish_reason") == "length"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GarbageError(f"no chat completion: {str(document)[:60]!r}") from error
    if not (isinstance(content, str) and isinstance(thought, str)):
        raise GarbageError(f"an answer that is no text: {str(content)[:60]!r}")
    read = reply_of(content.strip())
    thoughts = "\n".join(filter(None, (whole(thought).strip(), read.thought)))
    unfinished = read.unfinished or bool(thought and cut and not read.text)
    return Reply(read.text, thoughts, unfinished, cut)
