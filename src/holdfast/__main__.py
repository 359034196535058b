"""``python -m holdfast``: the command line, for launchers that start a module."""

import sys

from holdfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
