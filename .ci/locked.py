"""`locked.py LOCKED INSTALLED` exits with 1 if pip installed what the lock does not name, or another version."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+)")


def pins(path: str) -> dict[str, set[str]]:
    """Versions by normalised name in a file of requirements; several, if they depend on the Python."""
    found: dict[str, set[str]] = defaultdict(set)
    for pin in map(_PIN.match, Path(path).read_text().splitlines()):
        if pin:
            found[re.sub(r"[-_.]+", "-", pin[1]).lower()].add(pin[2])
    return dict(found)


def main() -> int:
    """Compares the two files and says how they differ."""
    locked, installed = pins(sys.argv[1]), pins(sys.argv[2])
    odd = [name for name, versions in installed.items() if not versions <= locked.get(name, set())]
    for name in sorted(odd):
        print(f"pip installs {name} {installed[name]}, the lock says {locked.get(name, 'nothing')}")
    print(f"{len(installed)} packages installed by pip, {len(installed) - len(odd)} as locked")
    return 1 if odd or not installed else 0


if __name__ == "__main__":
    sys.exit(main())
