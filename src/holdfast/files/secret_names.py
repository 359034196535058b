"""What names of options hold: an access token, a key or a password, or a number of tokens."""

import re

__all__ = ["is_secret"]

_NAMES = re.compile(
    r"(?:^|_)(?:tokens?|api_?keys?|(?:access|private|secret|signing)_?keys?|secrets?|passw(?:or)?d"
    r"|passphrase|pwd|credentials?|auth|authorization|bearer|cookie|netrc)(?:_|$)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(?:^|_)(?:(?:eos|bos|pad|unk|sep|cls|mask|stop|special|image|num|new|input|per|average|max|min)"
    r"_(?:\w+_)?tokens?|tokens?_(?:id|ids|across|per|seen|type))(?:_|$)",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Tell whether what goes by this name is kept out of everything that is written."""
    return bool(_NAMES.search(name)) and not _HARMLESS.search(name)
