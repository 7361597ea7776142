"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.following import Format

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "--inputs",
        "-i",
        metavar="KEY=VALUE",
        help="An input; the value is JSON, or else a text. Again for more.",
    ),
]
InputsFile = Annotated[
    Path | None,
    typer.Option("--inputs-file", metavar="FILE", help="Inputs as an object, JSON or YAML; --input goes over it."),
]
Output = Annotated[
    Format | None,
    typer.Option("--format", help="Write the result so to standard output; without it the texts as they are written."),
]
Open = Annotated[bool, typer.Option("--open", help="Show the page in the browser.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A blueprint, JSON or YAML; - reads standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="The edge's answer, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
