"""The errors that users see, each with an exit code of the command line."""

from __future__ import annotations


class OamipError(Exception):
    """Base of every error raised on purpose by this package.

    ``exit_code`` is what ``oamip`` exits with.

    Examples
    --------
    >>> [error.exit_code for error in (InputError, SolverMissingError, CheckError)]
    [2, 4, 5]
    """

    exit_code = 1


class InputError(OamipError, ValueError):
    """Something that the caller gave is wrong.

    The message is one line: what was given, what is accepted, and where.

    Examples
    --------
    >>> issubclass(InputError, OamipError), issubclass(InputError, ValueError)
    (True, True)
    """

    exit_code = 2


class SolverMissingError(OamipError):
    """A solver, or a licence for a model of this size, is missing.

    The message says what to install or choose.

    Examples
    --------
    >>> issubclass(LicenceError, SolverMissingError)
    True
    """

    exit_code = 4


class LicenceError(SolverMissingError):
    """The solver is there, but its licence is not, or is for smaller models."""


class SolverError(OamipError):
    """A solver was there, and failed.

    Examples
    --------
    >>> SolverError.exit_code
    1
    """

    exit_code = 1


class CheckError(OamipError):
    """A check failed.

    An import or a solution does not replay, or two solvers disagree.

    Examples
    --------
    >>> issubclass(CheckError, OamipError)
    True
    """

    exit_code = 5
