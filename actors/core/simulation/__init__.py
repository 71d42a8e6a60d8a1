"""A deterministic simulator of one database: the real cores under seeded faults, watched from outside.

Time, network, disks and processes are made up; followers, primaries and replicas decide by the very code that runs in
production. Everything that happens follows from the seed, so a failure is replayed by its number:

    python -m raylite.actors.core.simulation --seed 7
"""
