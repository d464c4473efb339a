"""``oamip check-proof``: a proof of a bound, checked in rational arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from oamip_model.cli.options import Verb, data_options, json_option, network_options
from oamip_model.cli.output import print_json, say


@click.command(cls=Verb, name="check-proof")
@click.argument("proof", type=click.Path(path_type=Path), metavar="FILE")
@network_options
@data_options(split=None)
@json_option
def check_proof(
    proof: Path,
    network: str,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    data: str,
    split: Any,
    download: bool,
    as_json: bool,
) -> int:
    """Check a proof FILE of `oamip score --proof` for the network NET and images of --data.

    The rows of the program are made from network and images, and added up in exact rational
    arithmetic. No solver is called. The images are found in the data set by their hashes.

    Exit code 5 if the proof does not hold, 2 if it is of another network or other images, or was changed.
    """
    import oamip_model as om
    from oamip_model.proofcheck import check_proof as check
    from oamip_model.proofcheck import load_proof

    known = load_proof(proof)
    source = om.load_dataset(data, split=split, download=download)
    found = check(known, om.read_network(network, input_shape, output=output), source.images)
    if as_json:
        print_json({"proof": str(proof), "checked": True, "bound": found.bound, "objective": found.objective,
                    "leaves": found.leaves})  # fmt: skip
    else:
        say(
            f"certified, proof checked: {len(known.scores)} scores of {len(known.images)} images, objective at most "
            f"{found.objective:.9g}, bound {found.bound:.9g}, {found.leaves} leaves"
        )
    return 0
