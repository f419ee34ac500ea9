"""`python -m wavlm.storage.mirror.courier FD`: the process that transfers for another one.

It does what `wavlm.storage.mirror.mirror` asks for over a pipe. It is a process of its own because the client's threads
survive no fork, as loading processes are made by; because an answer without an end can then take the memory of this
process alone; and because it can be ended when it takes too long. It ends when the other end of the pipe is closed.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

THREADS = 16


def main(handle: int) -> None:
    """Serve until nobody is left who could ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks decides what an interrupt means
    with Connection(handle) as pipe:
        address, patience = pipe.recv()
        resource.setrlimit(resource.RLIMIT_AS, (patience.memory_bytes, patience.memory_bytes))
        from wavlm.storage.mirror.bucket import Bucket

        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - what Rust says when memory is out helps nobody
            os.dup2(nowhere.fileno(), sys.stderr.fileno())
        bucket, lock = Bucket(address, patience), Lock()

        def serve(number: int, name: str, args: tuple[Any, ...]) -> None:
            try:
                answer: Any = getattr(bucket, name)(*args)
            except Exception as error:  # noqa: BLE001 - whatever it is, who asked has to hear it
                answer = error
            with lock, suppress(OSError):
                pipe.send((number, answer))

        with ThreadPoolExecutor(THREADS) as pool:
            with suppress(EOFError, OSError):
                while True:
                    pool.submit(serve, *pipe.recv())
            os._exit(0)  # a transfer that is under way is of no use to anybody, and the pool would wait for it


if __name__ == "__main__":
    main(int(sys.argv[1]))
