"""`wildgate referral`: checks packages, and makes the keys that seal them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wildgate_enforcement.referral.referral import ReferralError
from wildgate_enforcement.referral.sealing import make_keys, public_key
from wildgate_enforcement.referral.verification import verify_package

__all__ = ["referral_command"]

_app = typer.Typer(
    help="Referrals: packages that their recipient can check.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def referral_command(args: list[str]) -> int:
    """Runs `wildgate referral`; returns the exit status: 0 it holds, 1 it does not, 2 usage error."""
    try:
        _app(args, prog_name="wildgate referral")
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    return 0


@_app.command()
def verify(
    package: Annotated[Path, typer.Argument(metavar="PATH", help="The package's folder.")],
    key: Annotated[Path, typer.Option(metavar="PUB", help="The sender's public key (PEM), from the sender itself.")],
    tsa_root: Annotated[
        Path | None,
        typer.Option(
            metavar="PEM", help="The time-stamping authority's root; without it the sender vouches for the authority."
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Take a test referral, and nothing else.")] = False,
) -> None:
    """Check that a package is as its sender sealed it. Exits 1 and names what is wrong where it is not."""
    try:
        found = verify_package(package, public_key(key), root=tsa_root.read_bytes() if tsa_root else None)
    except (ReferralError, OSError) as error:
        typer.echo(f"wildgate referral: {error}", err=True)
        raise typer.Exit(1) from None
    faults = list(found.faults)
    if not faults and found.is_test is not test:
        faults.append("this is a test referral" if found.is_test else "this is no test referral")
    for fault in faults:
        typer.echo(fault)
    if faults:
        typer.echo(f"{str(package)!a}: DOES NOT HOLD", err=True)
        raise typer.Exit(1)
    vouched = "" if tsa_root else " by an authority for which the sender vouches"
    stamped = found.stamped_at.isoformat() if found.stamped_at else ""
    kind = "test referral" if test else "referral"
    typer.echo(f"{kind} of case {found.case_id} for {found.recipient!a}: holds; stamped {stamped}{vouched}")


@_app.command()
def keygen(file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")]) -> None:
    """Make an Ed25519 key, FILE, and its public part, FILE.pub."""
    try:
        public = make_keys(file)
    except OSError as error:
        typer.echo(f"wildgate referral: {file}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"private key: {file}\npublic key: {public}")
