"""What an error of the hub means for who asked: which of the few things that go wrong, and why."""

from collections.abc import Iterator

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

__all__ = ["hub_fault"]

TOKEN = "a token that may read it (`hf auth login`, or the environment variable HF_TOKEN)"  # noqa: S105


def hub_fault(error: BaseException, name: str, revision: str | None) -> str | None:
    """Return what went wrong and the way out, None where the hub did not say no.

    Args:
        error: What a library raised; the hub's own error may stand anywhere among its causes.
        name: The hub id.
        revision: The branch, tag or commit that was asked for.
    """
    for cause in _causes(error):
        if (said := _of(cause, name, revision)) is not None:
            return said
    return None


def _of(cause: BaseException, name: str, revision: str | None) -> str | None:
    known = "the one that is given may not" if get_token() else "none is given"
    match cause:
        case GatedRepoError():
            return (
                f"is gated: ask for access at {constants.ENDPOINT}/{name} and give {TOKEN} "
                f"({known})"
            )
        case RepositoryNotFoundError():
            return (
                f"no such model on the hub, or it is private: check the name, or give {TOKEN} "
                f"({known})"
            )
        case RevisionNotFoundError():
            return (
                f"has no `revision={revision}`: give a branch, a tag or a commit of "
                f"{constants.ENDPOINT}/{name}/commits/main"
            )
        # What is out of reach is told by whoever asked.
        case EntryNotFoundError() if not isinstance(cause, LocalEntryNotFoundError):
            return "lacks a file that a model has: give a repository that save_pretrained wrote"
        case HfHubHTTPError():
            return f"the hub answered {_status(cause)}: try again later"
        case _:
            return None


def _status(error: HfHubHTTPError) -> str:
    return str(getattr(error.response, "status_code", "with an error"))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, however deep."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
