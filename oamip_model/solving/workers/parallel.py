"""Many solves at once, as tasks of plain data.

They run in processes of this machine or in a dask cluster.

A task is one call of a function with the data that all tasks share, and with an item of its own.
The shared data is sent once. Processes map the arrays of a file into memory, and a cluster gets one
scattered object.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import InputError, SolverError
from oamip_model.runs.processes import die_with_parent
from oamip_model.scratch import scratch_folder
from oamip_model.solving.workers.engines import ENGINES, TRIES, Tell, lost
from oamip_model.solving.workers.extensions import Extensions, adopt, extensions

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_WATCH_SECONDS = 0.5


@dataclass(frozen=True)
class Workers:
    """The place where tasks run, and the number of them at a time.

    Parameters
    ----------
    jobs : int, optional
        Tasks at a time, each in a process with one thread. By default 1, or with dask the threads
        of the cluster.
    engine : {"loky", "dask"}, default "loky"
        Processes of this machine, or a dask cluster.
    scheduler : str, optional
        The address of a running dask cluster, whose workers have this package installed.

    Raises
    ------
    InputError
        For values that are wrong, or that do not fit together.

    Examples
    --------
    >>> Workers(jobs=2).several, Workers().several
    (True, False)
    """

    jobs: int | None = None
    engine: str = "loky"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        jobs = self.jobs
        if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, Integral) or jobs < 1):
            raise InputError(f"jobs: got {jobs!r}, accepted is a number of tasks at a time >= 1")
        if self.engine not in ENGINES:
            raise InputError(f"engine: got {self.engine!r}, accepted are {', '.join(ENGINES)}")
        if self.engine == "dask" and not self.scheduler:
            raise InputError("scheduler: got none, engine dask needs the address of a cluster, such as tcp://host:8786")
        if self.engine != "dask" and self.scheduler is not None:
            raise InputError(f"scheduler: got {self.scheduler!r}, but engine {self.engine} has no use for it")

    @property
    def several(self) -> bool:
        """Whether tasks run in other processes than this one."""
        return self.engine == "dask" or (self.jobs or 1) > 1

    def run(
        self,
        function: Callable[[Shared, Item, Tell | None], Result],
        shared: Shared,
        items: Mapping[str, Item],
        tell: Tell | None = None,
    ) -> Generator[tuple[str, Result], None, None]:
        """Run tasks. With one job, results come in the order of the items.

        A task whose worker was killed is started again after the others, at most ``TRIES`` times in
        all. The other tasks are not affected. When the iterator is closed, or Ctrl-C is pressed,
        the worker processes are ended.

        Parameters
        ----------
        function : callable
            Called with the shared data, an item, and a function for progress or None.
        shared : object
            The data that all tasks share.
        items : mapping of str to object
            The item of each task, by the name that errors state.
        tell : callable, optional
            Called with lines of text, by tasks in this process only.

        Yields
        ------
        tuple
            Name and result of each task, as soon as it is done.

        Raises
        ------
        SolverError
            For the first task that lost its workers each time, once all others are done.
        InputError
            Where the cluster cannot be used.
        """
        if not items:
            return
        if self.engine == "dask":
            from oamip_model.solving.workers.dask_engine import run_in_cluster

            assert self.scheduler is not None
            yield from run_in_cluster(function, shared, items, self.jobs, self.scheduler)
        elif self.several:
            yield from _run_in_processes(function, shared, items, self.jobs or 1)
        else:
            for name, item in items.items():
                yield name, function(shared, item, tell)


def _run_in_processes(
    function: Callable[[Shared, Item, Tell | None], Result], shared: Shared, items: Mapping[str, Item], jobs: int
) -> Generator[tuple[str, Result], None, None]:
    """Run tasks in one executor for each worker, so that a killed worker affects no other task."""
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

    def start(slot: int) -> None:
        if waiting:
            name = waiting.popleft()
            running[pools[slot].submit(_work, function, path, items[name], seconds_left(), extensions())] = (slot, name)

    def open_pool() -> Any:
        return ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),), env=_ONE_THREAD)

    waiting, losses = deque(items), Counter[str]()
    running: dict[Future[Result], tuple[int, str]] = {}
    failed: SolverError | None = None
    pools: list[Any] = []
    with _shared_folder() as folder:
        path = str(folder / "shared")
        joblib.dump(shared, path)
        try:
            for slot in range(min(jobs, len(items))):
                pools.append(open_pool())
                start(slot)
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    slot, name = running.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool as error:
                        losses[name] += 1
                        if losses[name] < TRIES:
                            waiting.append(name)
                        else:
                            failed = failed or lost(name, TRIES, str(error).partition("\n")[0])
                        pools[slot].shutdown(kill_workers=True)
                        pools[slot] = open_pool()
                        start(slot)
                        continue
                    start(slot)
                    yield name, result
            if failed is not None:
                raise failed
        finally:
            for pool in pools:
                pool.shutdown(kill_workers=True)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    """A temporary folder that is removed at the end, also where this process is killed: loky's tracker survives it."""
    from joblib.externals.loky.backend import resource_tracker

    with scratch_folder("tasks") as folder:
        resource_tracker.register(str(folder), "folder")
        try:
            yield folder
        finally:
            resource_tracker.unregister(str(folder), "folder")


def _work(
    function: Callable[[Any, Any, Tell | None], Result],
    path: str,
    item: Any,
    seconds: float | None,
    known: Extensions,
) -> Result:
    """Run one task in a worker process, within the seconds that are left.

    ``known`` are the objects that the parent process has registered.
    """
    adopt(known)
    with within(Deadline(seconds)):
        return function(_load(path), item, None)


@functools.lru_cache(maxsize=1)
def _load(path: str) -> Any:
    import joblib

    return joblib.load(path, mmap_mode="c")


def _end_with(parent: int) -> None:
    """Make this worker process end when its parent does, however that ends, and leave Ctrl-C to the parent."""
    # Not SIG_IGN, which solvers that run as programs of their own would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    # The thread below is not enough: it waits while a solver holds the interpreter's lock.
    die_with_parent(parent)
    if os.name == "posix":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
