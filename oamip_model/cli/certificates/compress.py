"""``oamip compress``: a smaller network that is equal on a box.

``oamip check-certificate`` proves that again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.numbers import SECONDS
from oamip_model.cli.objects import given, object_options
from oamip_model.cli.options import Verb, check_log, check_out, json_option, network_options, reading_options
from oamip_model.cli.output import UNPROVED, note, print_json, print_table, say
from oamip_model.clock import Deadline, seconds_left, within
from oamip_model.solving.options import Solver

if TYPE_CHECKING:
    from oamip_model.certify import Compressed

DOMAIN = "The inputs that it holds for: LOWER,UPPER for every input, or an .npz file with the arrays lower and upper."


@click.command(cls=Verb)
@network_options
@click.option("--domain", required=True, metavar="BOX", help=DOMAIN)
@object_options(("Solver (om.Solver)", (Solver,)), without=("tolerance", "time_limit"))
@click.option(
    "--time-limit",
    type=SECONDS,
    help="Seconds for all of it, reading and the second proof included; units that it leaves open are kept.",
)
@click.option("--checker", default="auto", metavar="NAME", show_default=True,
              help="Another solver, which proves the claims again; none: leave that out.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Save the smaller network to this .onnx or .pt2 file.")
@click.option("--certificate", type=click.Path(path_type=Path), help="Save what was proved to this .json file.")
@json_option
def compress(
    network: str,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    domain: str,
    time_limit: float | None,
    checker: str,
    out: Path | None,
    certificate: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Make the network NET, an .onnx, .pt2 or .nnet file, smaller without changing it on a box of inputs.

    Units that are never on there are removed, and units that are always on are folded into others where they are
    linear combinations of them. The file is in double precision where units were folded.

    Exit code 3 if the time did not suffice to decide every unit, or for the second proof.
    """
    inputs = [path for path in (network, domain) if Path(path).exists()]
    if out is not None:
        check_out(out, *inputs, suffixes=(".onnx", ".pt2"))
    if certificate is not None:
        check_out(certificate, *inputs, suffixes=(".json",), option="--certificate")
    wanted = given(options)
    check_log(wanted.get("log_file"), *inputs, out, certificate)
    solver = Solver(wanted.pop("solver", Solver().name), time_limit=time_limit, **wanted)

    import oamip_model as om

    with within(Deadline(time_limit)):
        plain = om.read_network(network, input_shape, output=output)
        left = replace(solver, time_limit=seconds_left())
        found = om.compress(plain, domain, solver=left, checker=None if checker == "none" else checker)
    if out is not None:
        _save(found, out)
    if certificate is not None:
        found.certificate.save(certificate)
    if as_json:
        print_json(_record(found, out, certificate))
    else:
        _print(found)
        for path in (out, certificate):
            if path is not None:
                click.echo(f"saved to {path}")
    if not found.certificate.complete:
        note("oamip: the time limit left units open, which are kept")
    unchecked = checker != "none" and not found.checker
    if unchecked:
        note("oamip: the time limit did not suffice to prove the claims again")
    return 0 if found.certificate.complete and not unchecked else UNPROVED


def _save(found: Compressed, out: Path) -> None:
    import oamip_model as om
    from oamip_model.certify.compression import double_precision

    with nullcontext() if found.exact_in_single else double_precision():
        module = om.to_module(found.network)
    om.save_module(module, out, found.network.input_shape)


def _record(found: Compressed, out: Path | None, certificate: Path | None) -> dict[str, Any]:
    layers = {name: {"units": units, "never_on": gone, "folded": folded}
              for name, (units, gone, folded) in found.removed.items()}  # fmt: skip
    return {
        "layers": layers, "parameters": found.network.parameters, "complete": found.certificate.complete,
        "solver": found.certificate.solver, "checker": found.checker or None, "difference": found.difference,
        "out": None if out is None else str(out), "certificate": None if certificate is None else str(certificate),
    }  # fmt: skip


def _print(found: Compressed) -> None:
    rows = [[claim.group, str(claim.units), str(len(claim.never)), str(len(claim.always)), str(len(claim.folded))]
            for claim in found.certificate.claims]  # fmt: skip
    print_table(["layer", "units", "never on", "always on", "folded"], rows)
    proved = f"proved by {found.certificate.solver}" + (f", and again by {found.checker}" if found.checker else "")
    say(f"{proved}; largest difference of a logit at points of the box: {found.difference:.2g}")


@click.command(cls=Verb, name="check-certificate")
@click.argument("certificate", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("network", metavar="NET")
@click.argument("small", metavar="SMALLER")
@reading_options
@click.option("--solver", default="scip", metavar="NAME", show_default=True, help="A name of `oamip solvers`.")
@click.option("--time-limit", type=SECONDS, help="Seconds for all of it.")
@json_option
def check_certificate(
    certificate: Path,
    network: str,
    small: str,
    input_shape: tuple[int, ...] | None,
    output: str | None,
    solver: str,
    time_limit: float | None,
    as_json: bool,
) -> int:
    """Prove again what a certificate FILE of `oamip compress` says of the networks NET and SMALLER.

    Exit code 5 if a claim is not proved, or the networks differ on the box.
    """
    import oamip_model as om
    from oamip_model.certify import check_certificate as check
    from oamip_model.certify import load_certificate

    known = load_certificate(certificate)
    with within(Deadline(time_limit)):
        plain, less = om.read_network(network, input_shape, output=output), om.read_network(small, input_shape)
        check(plain, less, known, om.Solver(solver, time_limit=seconds_left()))
    claims = sum(len(claim.never) + len(claim.always) for claim in known.claims)
    if as_json:
        print_json({"certificate": str(certificate), "claims": claims, "solver": solver, "checked": True})
    else:
        click.echo(f"all {claims} claims proved again by {solver}")
    return 0
