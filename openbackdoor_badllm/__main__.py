"""``python -m openbackdoor_badllm`` is ``badllmtg``."""

from __future__ import annotations

import sys

from openbackdoor_badllm.cli import main

if __name__ == "__main__":
    sys.exit(main())
