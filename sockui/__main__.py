"""``python -m sockui``: the same as the ``sockui`` command."""

import sys

from sockui.cli import main

if __name__ == "__main__":
    sys.exit(main())
