"""Many solves at once, as tasks of plain data.

They run in processes of this machine or in a dask cluster.

A task is one call of a function with what all tasks share and with an item of its own. What is shared is shipped once:
to processes as a file whose arrays are mapped into memory, to a cluster as one scattered object.
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
    """Where tasks run, and how many at a time.

    jobs: tasks at a time, each in a process with one thread; None for 1, and with dask for as many as the cluster has
    threads; engine: "loky", processes of this machine, or "dask"; scheduler: address of a running dask cluster, whose
    workers have this package installed. Raises InputError for values that are wrong or do not go together.

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
        """The pairs (name, function(shared, item, tell)), as soon as each is there.

        They come in order only with one job.

        items: by a name, which errors state; tell: called with lines of text, by tasks in this process only. A task
        whose worker was killed is started again, last, at most ``TRIES`` times in all; the others go on. When the
        iterator is closed, or Ctrl-C is pressed, the worker processes are ended. Raises what a task raised; once all
        others are done, SolverError for the first task that lost its workers; InputError where the cluster cannot be
        used.
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
    """One executor for each worker, so that a worker that is killed takes no other's task with it."""
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
    """A temporary folder that goes at the end, and where this process is killed too: loky's tracker outlives it."""
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
    """What a worker process runs for one task, in the seconds that are left; known: what its parent has registered."""
    adopt(known)
    with within(Deadline(seconds)):
        return function(_load(path), item, None)


@functools.lru_cache(maxsize=1)
def _load(path: str) -> Any:
    import joblib

    return joblib.load(path, mmap_mode="c")


def _end_with(parent: int) -> None:
    """Make this worker process end when its parent does, however that ends, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which solvers that are programs would inherit
    # Besides the thread below, which has to wait for solvers that hold the interpreter's lock.
    die_with_parent(parent)
    if os.name == "posix":
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)
