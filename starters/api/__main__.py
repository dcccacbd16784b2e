"""`python -m starters.api`: the HTTP API as a process of its own."""

from __future__ import annotations

from starters.api.server import main

if __name__ == "__main__":
    main()
