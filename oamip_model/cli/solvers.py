"""``oamip solvers``: which solvers are usable here, and why the others are not."""

from __future__ import annotations

import click

from oamip_model.cli.options import Verb, json_option
from oamip_model.cli.output import print_json, print_table, say


@click.command(cls=Verb)
@json_option
def solvers(as_json: bool) -> int:
    """List the solvers: usable or not, version, licence, what each can do, and what to install."""
    from oamip_model.solving import list_solvers

    found = list_solvers()
    if as_json:
        records = [
            {
                "name": s.name,
                "usable": s.available,
                "version": s.version,
                "licence": s.licence,
                "capabilities": sorted(s.capabilities),
                "problem": s.problem,
            }
            for s in found
        ]
        print_json({"solvers": records})
        return 0
    rows = [[s.name, "yes" if s.available else "no", s.version or "-", s.licence or "-"] for s in found]
    print_table(["solver", "usable", "version", "licence"], rows, left=4)
    click.echo()
    for s in found:
        say(f"{s.name}: {', '.join(sorted(s.capabilities)) or 'solves only'}")
    if any(not s.available for s in found):
        click.echo()
        for s in found:
            if not s.available:
                say(f"not usable: {s.problem}")
    return 0
