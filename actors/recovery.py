"""A new system that goes on with what cold storage holds of one of which nothing else is left.

It is another system, with an id of its own: followers of the old one that come back are refused, and count for
nothing. Its record says from the beginning whose successor it is and up to where the catalogue was held. That record
is the decision: whatever cuts the recovery after it, the next start of any kind goes on with it (docs/operations.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from raylite.actors.cold import marker, names
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.boot import open_archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.marker import Marker
from raylite.actors.cold.rebuild import begin_again, rebuilt_of
from raylite.actors.cold.snapshot import Run
from raylite.actors.founding import DataDirectory, Holding
from raylite.actors.service import boottime
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, NotAllowed
from raylite.policies.system import RECORD_VERSION, SystemRecord


def begin(directory: DataDirectory, address: str, holdings: Iterable[Holding]) -> SystemRecord:
    """The record of the system that goes on with what the store at `address` holds, durably in `directory`.

    One that an earlier attempt left, here or in `holdings`, is it. Raises `NotAllowed` if there is anything else of a
    system, `Corrupt` if the store has no catalogue, and what the store raises; then nothing was changed.
    """
    held = (directory.holding(), *holdings)
    begun = next((one.record for one in held if one.record and one.record.rebuilt), None)
    _check_nothing_else(held, begun)
    if begun is None:
        begun = _decided(address)
        directory.set_cold(address)
    directory.keep(begun, None, 0)
    return begun


def take_over(record: SystemRecord, address: str) -> None:
    """The store is this system's, and holds what the log of the registry's database then begins with.

    The same at each call. Raises `ForeignDirectory` if another system was rebuilt from it, and what the store raises.
    """
    assert record.rebuilt is not None, "the system was rebuilt from a store"
    mark = Marker(record.system_id, record.registry_id)
    marker.succeed(open_store(address), mark, record.predecessor)
    archive = open_archive(address, record.system_id, record.registry_id)
    begin_again(archive, record.rebuilt, Run(secrets.token_hex(8), boottime))


def unnamed(address: str, known: Iterable[str]) -> list[str]:
    """The ids of databases that the store has something of, and that are not among `known`."""
    found = {one.name.split("/")[1] for one in open_store(address).list(names.DATABASES)}
    return sorted(found.difference(known))


def _decided(address: str) -> SystemRecord:
    store = open_store(address)
    owner = marker.read(store)
    if not owner.registry_id:
        raise Corrupt("cold storage", marker.NAME, "it does not say which database has the catalogue")
    rebuilt = rebuilt_of(Archive(store, owner.registry_id))
    if rebuilt.bookmark == str(origin(owner.registry_id)):
        raise Corrupt(
            "cold storage", names.folder(owner.registry_id), "nothing of the catalogue was uploaded"
        )
    return SystemRecord(
        RECORD_VERSION,
        secrets.token_hex(16),
        owner.registry_id,
        secrets.token_hex(32),
        owner.system_id,
        rebuilt,
    )


def _check_nothing_else(held: Iterable[Holding], begun: SystemRecord | None) -> None:
    """Nothing but what an earlier attempt made may be here: it may be worth more than what cold storage has."""
    own = begun.system_id if begun else ""
    for one in held:
        owners = [journal.system_id for journal in one.journals]
        owners += [one.record.system_id] if one.record else []
        others = sorted({owner for owner in owners if owner != own})
        if others:
            journals = sum(journal.system_id != own for journal in one.journals)
            raise NotAllowed(
                f"Rebuilding from cold storage where {journals} followers of system {others[0]} have their logs",
                "They may hold acknowledged writes that were not uploaded: three of them are enough for `raylite up`. "
                f"`--discard-followers {others[0]}` moves what is left of them aside.",
            )
