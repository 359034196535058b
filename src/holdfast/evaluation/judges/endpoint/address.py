"""Where a server is and what it is shown: an address in its parts, and a key of the environment."""

import os
from urllib.parse import SplitResult, urlsplit

from holdfast.errors import ConfigError

__all__ = ["address_of", "key_in"]


def address_of(url: str) -> SplitResult | None:
    """Return the parts of an address of the web, None where it is none."""
    try:
        place = urlsplit(url)
        good = place.scheme in ("http", "https") and place.hostname and place.port != 0
    except ValueError:  # Half a pair of brackets, or a port that is no number.
        return None
    return place if good and url.isprintable() and " " not in url else None


def key_in(variable: str) -> str:
    """Return the key that an environment variable holds, "" without one.

    Raises:
        ConfigError: It cannot stand in a header; the message does not hold it.
    """
    key = os.environ.get(variable, "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        said = "holds blanks, line ends or letters that no key has: set it again"
        raise ConfigError(f"the environment variable {variable} {said}")
    return key
