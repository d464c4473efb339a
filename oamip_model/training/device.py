"""Where torch computes, on how many threads, and with which random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from oamip_model.errors import InputError


def torch_device(name: str) -> torch.device:
    """The device of that name, which is here.

    Raises InputError for any other than cpu, cuda, cuda:N and auto.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(f"device: got {name!r}, accepted are cpu, cuda and auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device: got {name!r}, accepted are cpu, cuda and auto")
    if device.type == "cpu":
        return torch.device("cpu")
    if (device.index or 0) >= count:
        raise InputError(f"device: torch sees no {name} here, accepted are cpu and auto")
    return torch.device("cuda", device.index or 0)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for the block, and restore them after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Have torch use this many threads in the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
