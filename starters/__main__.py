"""`python -m starters`: the command line where the package is not installed."""

from __future__ import annotations

from starters.cli.main import main

if __name__ == "__main__":
    main()
