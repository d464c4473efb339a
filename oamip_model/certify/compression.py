"""Exact compression.

The smaller network is equal to the network on a whole box of inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oamip_model.certify.box import AnyBox, Box, check_box
from oamip_model.certify.certificate import (
    TOLERANCE,
    Certificate,
    Domain,
    UncheckedError,
    check_certificate,
    check_equal,
    claims_of,
)
from oamip_model.certify.fold import smaller
from oamip_model.certify.stable import find_stable
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.errors import SolverMissingError
from oamip_model.network import read_network
from oamip_model.network.types import Network
from oamip_model.solving.options import Solver, as_solver
from oamip_model.solving.protocol import Backend
from oamip_model.solving.registry import get_backend

_CHECKERS = ("scip", "cbc", "highs")
"""Who checks, in this order: the first one that is here and did not solve."""


@dataclass(frozen=True)
class Compressed:
    """A smaller network, with the certificate that it is equal on the box.

    Parameters
    ----------
    network : Network
        The smaller network, in double precision.
    certificate : Certificate
        What was proved.
    checker : str
        The solver that proved the certificate's claims again, "" where there was none, or no
        time for it.
    difference : float
        The largest difference of a logit at points of the box.
    """

    network: Network
    certificate: Certificate
    checker: str
    difference: float

    @property
    def removed(self) -> dict[str, tuple[int, int, int]]:
        """Numbers of units by group: all, those never on, and those folded."""
        return {c.group: (c.units, len(c.never), len(c.folded)) for c in self.certificate.claims}

    @property
    def exact_in_single(self) -> bool:
        """Whether single precision holds the weights as well as before.

        It does where they are those of the network.
        """
        return not any(claim.folded for claim in self.certificate.claims)


def compress(
    network: Network | nn.Module | str | Path,
    domain: AnyBox,
    *,
    solver: str | Backend | Solver = "highs",
    checker: str | Backend | Solver | None = "auto",
    input_shape: Sequence[int] | None = None,
) -> Compressed:
    """A smaller network that is equal to a network on a box, with a certificate.

    Parameters
    ----------
    network : Network, torch module or path
        A ReLU network.
    domain : Box, pair or str
        The box: lower and upper, each a number or an array of one input's shape; or what ``--domain`` takes.
    solver : str, backend or Solver, default "highs"
        The solver that proves which units are stable. Its time limit is that of the whole call. The search has half
        of it where a checker follows. Units that are not proved by then are kept.
    checker : str, backend, Solver or None, default "auto"
        Another solver, which proves the claims again. "auto" is the first of scip, cbc and highs that is here and is
        not ``solver``; None leaves the check out.
    input_shape : sequence of int, optional
        Shape of one input, where the network is a module or a file that does not say it.

    Returns
    -------
    Compressed
        The smaller network. Outside of the box it may differ.

    Raises
    ------
    InputError
        For a domain that does not fit.
    CheckError
        Where the checker cannot prove a claim again, or the networks differ on the box.
    TimeIsUp
        Where the time does not suffice to compare both networks at all.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    >>> found = om.compress(om.read_network(module, (2,)), (0.0, 0.2), checker=None)
    >>> found.network.layers[0].size < 8, found.difference < 1e-9
    (True, True)
    """
    asked = as_solver(solver)
    with within(Deadline(asked.time_limit)):
        plain = network if isinstance(network, Network) else read_network(network, input_shape)
        return _compressed(plain.check_scored(loss=False), check_box(domain, plain), asked, checker)


def _compressed(plain: Network, box: Box, asked: Solver, checker: str | Backend | Solver | None) -> Compressed:
    """What :func:`compress` gives, within a deadline."""
    second = None if checker is None else _checker(checker, asked)
    left = seconds_left()
    searching = asked if left is None else replace(asked, time_limit=left if second is None else left / 2)
    stable = find_stable(plain, box, searching)
    sides = box.record()
    certificate = Certificate(
        1, "compression", plain.fingerprint, "", Domain(tuple(sides["lower"]), tuple(sides["upper"])), asked.label,
        stable.complete, claims_of(plain, stable),
    )  # fmt: skip
    less, folded = smaller(plain, certificate.states())
    claims = tuple(replace(c, folded=tuple(folded[c.group].tolist())) for c in certificate.claims)
    certificate = replace(certificate, smaller=less.fingerprint, claims=claims)
    difference = check_equal(plain, less, box, TOLERANCE)
    checked = second is not None and _proved_again(plain, less, certificate, second)
    return Compressed(less, certificate, second.label if second is not None and checked else "", difference)


def _proved_again(plain: Network, less: Network, certificate: Certificate, solver: Solver) -> bool:
    """Whether there was time for the checker, which found nothing wrong."""
    left = seconds_left()
    limits = [limit for limit in (left, solver.time_limit) if limit is not None]
    try:
        check_certificate(plain, less, certificate, replace(solver, time_limit=min(limits, default=None)))
    except UncheckedError:
        return False
    return True


def _checker(given: Any, solver: Solver) -> Solver:
    """The solver that checks, usable here."""
    if given != "auto":
        found = as_solver(given)
        get_backend(found.name)
        return found
    for name in _CHECKERS:
        if name != solver.label:
            try:
                get_backend(name)
            except SolverMissingError:
                continue
            return Solver(name)
    raise SolverMissingError(
        "checker: no solver besides the first is here; install scip or cbc, or leave the check out"
    )


@contextmanager
def double_precision() -> Iterator[None]:
    """Let torch make modules in double precision in this block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
