"""`python -m wildgate_detector`: the commands, by name."""

import typer

from wildgate_detector import making, measuring

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The reference detector: train it, evaluate it, choose its thresholds, film its clips.",
)
COMMANDS = (
    making.train,
    measuring.evaluate,
    measuring.calibrate,
    measuring.curve,
    measuring.judge,
    making.film,
    making.samples,
)
for command in COMMANDS:
    app.command()(command)

if __name__ == "__main__":
    app(prog_name="python -m wildgate_detector")
