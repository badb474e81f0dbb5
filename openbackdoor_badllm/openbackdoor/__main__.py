"""``python -m openbackdoor_badllm.openbackdoor SCRIPT``: see :mod:`.script`."""

from __future__ import annotations

import sys

from openbackdoor_badllm.openbackdoor.script import main

if __name__ == "__main__":
    sys.exit(main())
