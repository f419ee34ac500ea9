"""Where the ranks of a training meet: a store of torch, on the one address that the supervisor chose.

It listens there and nowhere else. torch's store has no password. Its keys begin with the token of the attempt, so that
two trainings that meet by mistake read nothing of each other.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import Any

import torch.distributed as dist

from wavlm.errors import ServiceMissingError
from wavlm.execution.supervisor import STORE_HOST, STORE_PORT, STORE_SOCKET, STORE_TOKEN

JOINING_TIMEOUT = datetime.timedelta(minutes=10)  # ranks import torch, on a busy machine one after the other
SIOCGIFADDR = 0x8915  # netdevice(7)


def meet(rank: int, world: int) -> dict[str, Any]:
    """Arguments of `init_process_group`: the store in which the ranks meet, on 127.0.0.1 if there is one machine.

    Empty if they were not started by us: then torchrun's variables say where the store is.
    """
    if STORE_PORT not in os.environ:
        return {}
    store: Any = dist.TCPStore(  # type: ignore[attr-defined] # exported at run time only
        os.environ[STORE_HOST],
        int(os.environ[STORE_PORT]),
        world_size=world,
        is_master=rank == 0,
        # Else torch would open a socket of its own, on all interfaces.
        master_listen_fd=int(os.environ[STORE_SOCKET]) if rank == 0 else None,
        timeout=JOINING_TIMEOUT,
        wait_for_workers=False,
    )
    if token := os.environ[STORE_TOKEN]:
        store = dist.PrefixStore(token, store)  # type: ignore[attr-defined]
    _await_all(store, rank, world)
    return {"store": store, "rank": rank, "world_size": world}


def _await_all(store: Any, rank: int, world: int) -> None:
    """Return when all ranks are there. Raises ServiceMissingError (NODES_MISSING), which names those that are not."""
    try:
        store.set(f"here/{rank}", socket.gethostname())
        store.wait([f"here/{number}" for number in range(world)], JOINING_TIMEOUT)
    except RuntimeError as error:  # torch has no class of its own for a store that waited in vain
        there = [number for number in range(world) if _is_set(store, f"here/{number}")]
        missing = sorted(set(range(world)) - set(there))
        raise ServiceMissingError(
            "NODES_MISSING",
            f"{len(there)} of {world} ranks came within {JOINING_TIMEOUT}, not {', '.join(map(str, missing[:16]))}; at "
            f"{os.environ[STORE_HOST]}; start the same command on every machine (--nodes), or name a launcher",
        ) from error


def _is_set(store: Any, key: str) -> bool:
    try:
        return bool(store.check([key]))
    except RuntimeError:
        return False


def name_interface(address: str) -> str:
    """The name of the network interface that has this address (Linux); empty if none is found."""
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, suppress(OSError):
            found = fcntl.ioctl(asking.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return ""
