"""What was proved about the units of a network over a box.

It is kept in a file that another solver can check.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from oamip_model.certify.box import Box
from oamip_model.certify.fold import States, smaller
from oamip_model.certify.stable import WAYS, Flags, Stable, Way, find_stable
from oamip_model.clock import Deadline, TimeIsUp, finishing, within
from oamip_model.errors import CheckError, InputError
from oamip_model.files import replacing
from oamip_model.network.types import Network
from oamip_model.records import Within, checked, read_json
from oamip_model.solving.options import Solver, as_solver
from oamip_model.solving.protocol import Backend

TOLERANCE = 1e-9
"""Largest difference of a logit between both networks on the box, relative to the largest logit from 1 on."""
_SINGLE = 1e-5
"""The same where the smaller network comes from a file in single precision."""
_POINTS = 400

Number = Annotated[int, Within(0)]


class UncheckedError(CheckError):
    """The time did not suffice to check a certificate."""


@dataclass(frozen=True)
class Claim:
    """A score group's units that are never on, or always on, over the box.

    Each has the way in which that was proved. folded: the units among them that others took over.
    """

    group: str
    units: Number
    never: dict[str, Way]
    always: dict[str, Way]
    folded: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A box as it is kept: one number stands for equal ones."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True)
class Certificate:
    """A certificate that a smaller network is equal to a network on a box.

    Parameters
    ----------
    format : {1}
        The version of the format.
    kind : {"compression"}
        The kind of file.
    network, smaller : str
        Fingerprints of the network and of the smaller one.
    domain : Domain
        The box.
    solver : str
        The solver of the programs.
    complete : bool
        Whether the search for stable units ended within its time.
    claims : tuple of Claim
        The stable units, and how each was proved.
    """

    format: Literal[1]
    kind: Literal["compression"]
    network: str
    smaller: str
    domain: Domain
    solver: str
    complete: bool
    claims: tuple[Claim, ...]

    def save(self, path: str | Path) -> None:
        """Write the certificate to a .json file, whole or not at all."""
        if Path(path).suffix != ".json":
            raise InputError(f"certificate: {path} is not a name ending in .json")
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def states(self) -> dict[str, States]:
        """The stable units by group."""
        return {
            claim.group: States(*(np.array(sorted(map(int, side)), dtype=np.int64)
                                  for side in (claim.never, claim.always)))
            for claim in self.claims
        }  # fmt: skip


def load_certificate(path: str | Path) -> Certificate:
    """The certificate that :meth:`Certificate.save` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Certificate
        The certificate as it was saved.

    Raises
    ------
    InputError
        Where there is no such file, or it holds anything else.

    Examples
    --------
    >>> import tempfile, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    >>> found = om.compress(om.read_network(module), (0.4, 0.6), checker=None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found.certificate.save(f"{folder}/certificate.json")
    ...     om.load_certificate(f"{folder}/certificate.json") == found.certificate
    True
    """
    source = Path(path)
    where = f"certificate: {source}"
    found: Certificate = checked(Certificate, read_json(source, where), where)
    for claim in found.claims:
        for unit in (*claim.never, *claim.always):
            # Of which 5,000 digits, other alphabets and leading zeros are none.
            short = unit.isascii() and unit.isdecimal() and len(unit) <= len(str(claim.units))
            if not short or str(int(unit)) != unit or int(unit) >= claim.units:
                raise InputError(f"{where}: group {claim.group} has no unit {unit[:20]}")
        if claim.never.keys() & claim.always.keys():
            raise InputError(f"{where}: a unit of group {claim.group} is both never and always on")
    return found


def claims_of(network: Network, stable: Stable) -> tuple[Claim, ...]:
    """What the stable ReLUs of a network's layers say of its units."""
    found = []
    for group in network.groups:
        layers = [(network.layers[k], stable.layers[k]) for k in group.layers if k in stable.layers]
        never, always = np.ones(group.size, dtype=bool), np.ones(group.size, dtype=bool)
        way = np.zeros(group.size, dtype=np.int64)
        for layer, states in layers:
            assert layer.units is not None
            never &= np.bincount(layer.units, ~states.off, group.size) == 0
            always &= np.bincount(layer.units, ~states.on, group.size) == 0
            np.maximum.at(way, layer.units, states.way)
        if len(layers) < len(group.layers):
            never[:] = always[:] = False
        sides = [{str(u): WAYS[way[u]] for u in np.flatnonzero(side).tolist()} for side in (never, always & ~never)]
        found.append(Claim(group.name, group.size, sides[0], sides[1]))
    return tuple(found)


def check_certificate(
    network: Network, small: Network, certificate: Certificate, solver: str | Backend | Solver = "scip"
) -> None:
    """Prove a certificate's claims again, and compare both networks.

    Bounds are computed anew. The solver proves the claims that they do not decide. The smaller network is
    made again from the claims. It must have the logits of ``small`` and of the network at points of the
    box.

    Parameters
    ----------
    network : Network
        The network that was compressed.
    small : Network
        The smaller network.
    certificate : Certificate
        The claims about units, and the box that they hold in.
    solver : str, Backend or Solver, default "scip"
        The solver, whose time limit is that of the whole check.

    Raises
    ------
    InputError
        Where the certificate is of other networks.
    CheckError
        Where a claim is not proved, or the networks differ.
    UncheckedError
        Where the time limit came before all of that was checked.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    >>> network = om.read_network(module)
    >>> found = om.compress(network, (0.4, 0.6), checker=None)
    >>> om.check_certificate(network, found.network, found.certificate, "highs")
    """
    asked = as_solver(solver)
    deadline = Deadline(asked.time_limit)
    try:
        with within(deadline):
            _check_certificate(network, small, certificate, asked)
    except TimeIsUp as error:
        if deadline.seconds is None:
            raise
        raise UncheckedError(f"certificate: {error}") from None


def _check_certificate(network: Network, small: Network, certificate: Certificate, solver: Solver) -> None:
    if certificate.network != network.fingerprint:
        raise InputError(f"certificate: it is of network {certificate.network}, got {network.fingerprint}")
    if [(g.name, g.size) for g in network.groups] != [(c.group, c.units) for c in certificate.claims]:
        raise InputError("certificate: its groups are not those of the network")
    sides = tuple(side[0] if len(side) == 1 else side for side in (certificate.domain.lower, certificate.domain.upper))
    box = Box.of(sides, network.input_shape, "certificate: domain")
    states = certificate.states()
    stable = find_stable(network, box, solver, _wanted(network, states))
    for group, claim in zip(network.groups, claims_of(network, stable), strict=True):
        proved = {"never on": claim.never.keys(), "always on": claim.always.keys()}
        for (word, known), side in zip(
            proved.items(), (states[group.name].never, states[group.name].always), strict=True
        ):
            for unit in side.tolist():
                if str(unit) not in known:
                    told = f"certificate: that unit {unit} of {group.name} is {word} on was not proved again"
                    if not stable.complete:
                        raise UncheckedError(f"{told} within the time limit")
                    raise CheckError(told)
    again, folded = smaller(network, states)
    for claim in certificate.claims:
        if folded[claim.group].tolist() != list(claim.folded):
            raise CheckError(f"certificate: of {claim.group} other units are folded than it says")
    if again.fingerprint != certificate.smaller:
        raise CheckError("certificate: its claims make another smaller network than it says")
    check_equal(network, again, box, TOLERANCE)
    if [layer.pre_shape for layer in again.layers] != [layer.pre_shape for layer in small.layers]:
        raise CheckError("certificate: the smaller network has other layers than its claims make")
    check_equal(again, small, box, _SINGLE)


def check_equal(one: Network, other: Network, box: Box, tolerance: float) -> float:
    """The largest difference of a logit of two networks at points of a box.

    Raises CheckError where it is too large. Where the time is up, fewer points are compared, but some.
    """
    if one.fingerprint == other.fingerprint:
        return 0.0
    points = box.sample(_POINTS, seed=1)
    points = points[np.random.default_rng(0).permutation(len(points))].reshape(-1, *one.input_shape)
    apart, largest, compared = 0.0, 1.0, 0
    with finishing():
        # First a few, of which there is always time for, unless the network is far too large.
        for first, last in pairwise([0, *(2**k for k in range(1, _POINTS.bit_length())), len(points)]):
            a, b = (net.replay(points[first:last]) for net in (one, other))
            apart = float(np.maximum(apart, np.abs(a - b).max()))  # which keeps what is no number
            largest = max(largest, float(np.abs(a).max()))
            compared = last
    if not compared:
        raise TimeIsUp("the time limit left no time to compare the networks")
    found = apart / largest
    if not found <= tolerance:
        raise CheckError(f"the networks differ by {found:.2g} on the box, accepted is {tolerance:g}")
    return found


def _wanted(network: Network, states: Mapping[str, States]) -> dict[int, tuple[Flags, Flags]]:
    """By layer, the ReLUs that are to be never on, and always on."""
    found = {}
    for group in network.groups:
        for k in group.layers:
            units = network.layers[k].units
            assert units is not None
            side = states[group.name]
            found[k] = np.isin(units, side.never), np.isin(units, side.always)
    return found
