"""The command ``oamip``: its verbs, and what becomes of errors and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint

import click

import oamip_model
from oamip_model.cli.baseline import baseline
from oamip_model.cli.bounds import bounds
from oamip_model.cli.certificates.compress import check_certificate, compress
from oamip_model.cli.certificates.distance import distance
from oamip_model.cli.certificates.proof import check_proof
from oamip_model.cli.demo import demo
from oamip_model.cli.info import info
from oamip_model.cli.output import INTERRUPTED, note, say
from oamip_model.cli.prune import prune
from oamip_model.cli.score import score
from oamip_model.cli.solvers import solvers
from oamip_model.errors import InputError, OamipError
from oamip_model.registry import installed, load, offered
from oamip_model.scratch import sweep

EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed
  2    wrong usage, or bad input
  3    done, but unproved: a solver stopped at a limit, before its tolerance
  4    a solver, or its licence, is missing
  5    a check failed: a replay differs, or two solvers disagree
  130  interrupted
  143  ended by SIGTERM, which is taken as an interruption
"""


_LONGEST = 400
"""Characters of one word of a message, such as a number that was given, beyond which it is cut short."""
COMMANDS = "oamip_model.commands"
"""The entry-point group in which a package offers a verb: a click command."""


class Verbs(click.Group):
    """The verbs of this package, and those that other packages offer by entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all verbs."""
        return sorted({*super().list_commands(ctx), *(entry.name for entry in installed(COMMANDS))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of that name; one from outside is imported here."""
        known = super().get_command(ctx, cmd_name)
        if known is not None:
            return known
        try:
            entry = offered("command", COMMANDS).get(cmd_name)
            return None if entry is None else _loaded(entry)
        except InputError as error:
            return _broken(cmd_name, error)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first sentence of each verb, which click would cut to a line."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(limit=400)) for name, verb in known if verb is not None])


def _loaded(entry: EntryPoint) -> click.Command:
    found = load("command", entry)
    if not isinstance(found, click.Command):
        raise InputError(f"command: {entry.value}, which a package offers as {entry.name}, is no command of click")
    return found


def _broken(name: str, error: InputError) -> click.Command:
    """A verb that cannot be loaded. It says so when it is called, and does not break the help of others."""

    @click.command(name, short_help="(cannot be imported)", add_help_option=False,
                   context_settings={"ignore_unknown_options": True})  # fmt: skip
    @click.argument("rest", nargs=-1)
    def told(rest: tuple[str, ...]) -> None:
        raise error

    return told


def _print_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Print the version of the package and of each solver that is usable, and end."""
    if not asked or context.resilient_parsing:
        return
    from oamip_model.solving import list_solvers

    click.echo(f"oamip, version {oamip_model.__version__}")
    usable = [f"{solver.name} {solver.version}" for solver in list_solvers() if solver.available]
    say(f"solvers: {', '.join(usable)}")
    context.exit()


@click.group(cls=Verbs, epilog=EXIT_CODES, no_args_is_help=False, context_settings={"max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Show the version, and those of the solvers, and exit.")  # fmt: skip
def oamip() -> None:
    """Importance scores of the neurons of trained ReLU networks, by mixed-integer programming, and smaller networks.

    Results go to standard output, progress and errors to standard error. Every verb takes --json.
    """


_VERBS = (info, solvers, score, bounds, baseline, prune, compress, check_certificate, distance, check_proof, demo)
for verb in _VERBS:
    oamip.add_command(verb)


def run(arguments: Sequence[str]) -> int:
    """The exit code of ``oamip ARGUMENTS``.

    Errors are reported in one line on standard error.

    >>> run(["score", "missing.onnx", "--images", "ten"])
    2
    """
    try:
        if any("\0" in argument for argument in arguments):
            raise InputError("arguments: one holds a NUL character, which no name has")
        sweep()
        code = oamip.main(args=list(arguments), prog_name="oamip", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "oamip"
        message = error.format_message().rstrip(".")
        return _failed(f"{message} (see {command} --help)", error.exit_code)
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code)
    except OamipError as error:
        return _failed(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output has closed the pipe. Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OamipError.exit_code
    except OSError as error:
        # What no file can be called was given; anything else failed here.
        wrong = error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
        return _failed(str(error), InputError.exit_code if wrong else OamipError.exit_code)
    except KeyboardInterrupt:
        return _failed("interrupted, nothing was saved", INTERRUPTED)
    except click.Abort:
        # What click makes of an interruption before a verb begins, or after it has ended.
        return _failed("interrupted", INTERRUPTED)
    except MemoryError:
        return _failed("not enough memory; fewer images, or --strategy batches, need less", OamipError.exit_code)
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int) -> int:
    words = (word if len(word) <= _LONGEST else f"{word[: _LONGEST // 2]}..." for word in message.split())
    note(f"oamip: error: {' '.join(words)}")
    return code
