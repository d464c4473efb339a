"""Tasks in a running dask cluster, whose workers have this package installed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import InputError, SolverError
from oamip_model.solving.workers.engines import TRIES, Tell, lost
from oamip_model.solving.workers.extensions import Extensions, adopt, extensions

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")
_SECONDS = 10
"""Seconds that a scheduler may take to answer."""


def run_in_cluster(
    function: Callable[[Shared, Item, Tell | None], Result],
    shared: Shared,
    items: Mapping[str, Item],
    jobs: int | None,
    scheduler: str,
) -> Generator[tuple[str, Result], None, None]:
    """Run tasks in a cluster.

    See :meth:`oamip_model.solving.workers.parallel.Workers.run`.

    The scheduler starts the tasks of a killed worker again, as often as its settings allow. The
    shared data is sent again where every worker that held it is lost. When the iterator is closed,
    waiting tasks are cancelled, and the cluster ends those that run.

    Parameters
    ----------
    function : callable
        Called with the shared data, an item, and a function for progress.
    shared : object
        The data that all tasks share.
    items : mapping of str to object
        The item of each task, by its name.
    jobs : int, optional
        Tasks at a time, by default the threads of the cluster.
    scheduler : str
        The address of the cluster.

    Yields
    ------
    tuple
        Name and result of each task, as soon as it is done.

    Raises
    ------
    InputError
        Where the cluster cannot be used.
    SolverError
        Where the workers of a task were killed each time.
    """
    with _connect(scheduler) as client:
        from distributed import KilledWorker, as_completed

        def start(name: str) -> Any:
            future = client.submit(_work, function, held[0], items[name], seconds_left(), extensions(), pure=False)
            names[future.key] = name
            return future

        held = [_send(client, shared)]
        names: dict[str, str] = {}
        waiting, losses = deque(items), Counter[str]()
        at_once = jobs or max(1, sum(client.nthreads().values()))
        first = [waiting.popleft() for _ in range(min(at_once, len(items)))]
        done = as_completed([start(name) for name in first], loop=client.loop)
        failed: SolverError | None = None
        for future in done:
            name = names.pop(future.key)
            try:
                result = future.result()
            except KilledWorker as error:
                failed = failed or lost(name, error.allowed_failures + 1, str(error).partition("\n")[0])
                if waiting:
                    done.add(start(waiting.popleft()))
                continue
            except CancelledError as error:
                losses[name] += 1
                if losses[name] == TRIES:
                    raise lost(name, TRIES, str(error)) from None
                if not client.scheduler_info()["workers"]:
                    raise SolverError(
                        f"scheduler: all workers of {scheduler} are lost; with a store or --out finished programs are "
                        "kept, and the same command continues from them when there are workers again"
                    ) from None
                held[0] = _send(client, shared)
                done.add(start(name))
                continue
            if waiting:
                done.add(start(waiting.popleft()))
            yield name, result
        if failed is not None:
            raise failed


def _connect(scheduler: str) -> Any:
    """A client of the cluster at this address, which must have a worker."""
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(f"engine: dask needs the package distributed, pip install distributed ({error})") from None
    try:
        # A client that cannot connect keeps trying in threads of its own, so the address is tested first. The test runs
        # in a thread, since this one may have an event loop already.
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(asyncio.run, _identity(scheduler)).result()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"scheduler: got {scheduler!r}, where no dask scheduler answers ({reason})") from None
    if found.get("type") != "Scheduler":
        raise InputError(f"scheduler: got {scheduler!r}, the address of a dask {str(found.get('type')).lower()}")
    if not found["workers"]:
        raise InputError(f"scheduler: got {scheduler!r}, a dask cluster without workers")
    return Client(scheduler, timeout=_SECONDS, set_as_default=False)


async def _identity(scheduler: str) -> dict[str, Any]:
    """The description that the server at this address gives of itself."""
    from distributed.core import rpc
    from distributed.security import Security

    async with rpc(scheduler, connection_args=Security().get_connection_args("client")) as server:
        identity: dict[str, Any] = await asyncio.wait_for(server.identity(), _SECONDS)
        return identity


def _send(client: Any, shared: object) -> Any:
    """A handle of the shared data, in the memory of every worker."""
    return client.scatter([shared], broadcast=True, hash=False)[0]


def _work(
    function: Callable[[Any, Any, Tell | None], Result],
    shared: Any,
    item: Any,
    seconds: float | None,
    known: Extensions,
) -> Result:
    """Run one task in a worker, within the seconds that are left, with one thread of BLAS and torch.

    ``known`` are the objects that the sender has registered.
    """
    adopt(known)
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        with threadpool_limits(limits=1), within(Deadline(seconds)):
            if torch is not None:
                torch.set_num_threads(1)
            return function(shared, item, None)
    finally:
        if torch is not None:
            torch.set_num_threads(before)
