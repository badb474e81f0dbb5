"""The benchmark script: a thin door to :mod:`openbackdoor_badllm.benchmark`."""

import sys

from openbackdoor_badllm.benchmark.command import main

if __name__ == "__main__":
    sys.exit(main())
