"""`python -m cmakeys`: the same command without its script."""

import sys

from cmakeys.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
