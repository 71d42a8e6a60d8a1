"""The command: runs seeds and prints what happened, or replays one that failed."""

import sys

from raylite.actors.core.simulation.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
