"""The command `wildgate-build`: any detector in, checked and live.

The commands live beside what they do; here they only get their names.
"""

import typer

from wildgate_build.check import commands as check
from wildgate_build.engine import commands as engine
from wildgate_build.importer import commands as importer
from wildgate_build.precision import commands as precision
from wildgate_build.publish import commands as publish
from wildgate_build.reference import commands as reference

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Any detector in, checked and live: import, quantise, engine, check, publish.",
)

_PREPARE = "Prepare a detector"
app.command("import", rich_help_panel=_PREPARE)(importer.import_detector)
app.command(rich_help_panel=_PREPARE)(precision.quantise)
app.command(rich_help_panel=_PREPARE)(precision.half)
app.command(rich_help_panel=_PREPARE)(engine.engine)
app.command(rich_help_panel=_PREPARE)(check.check)

_SERVE = "Bring it live"
app.command(rich_help_panel=_SERVE)(publish.publish)
app.command(rich_help_panel=_SERVE)(publish.canary)
app.command(rich_help_panel=_SERVE)(publish.promote)
app.command(rich_help_panel=_SERVE)(publish.rollback)
app.command(rich_help_panel=_SERVE)(publish.releases)
app.command(rich_help_panel=_SERVE)(publish.load)

_REFERENCE = "The reference detector"
app.command(rich_help_panel=_REFERENCE)(reference.train)
app.command(rich_help_panel=_REFERENCE)(reference.evaluate)
app.command(rich_help_panel=_REFERENCE)(reference.calibrate)
app.command(rich_help_panel=_REFERENCE)(reference.film)
app.command(rich_help_panel=_REFERENCE)(reference.samples)


def main() -> None:
    """Entry point of `wildgate-build`."""
    app()


if __name__ == "__main__":
    main()
