"""`python -m headrace_operator`: the operator until SIGTERM."""

import sys

import structlog
import uvloop
from headrace_runtime import logs, serve
from headrace_runtime.settings import EXIT_CODE, InvalidSettings, load

from headrace_operator import app
from headrace_operator.settings import Settings

log = structlog.get_logger()


def main() -> None:
    """Run until told to stop. Wrong settings end it with code 2 and a line that names them, anything else with code 1."""
    settings = load(Settings)
    logs.configure("operator", settings.log_level)
    code = 0
    try:
        uvloop.run(app.run(settings))
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        code = EXIT_CODE
    except Exception:
        log.exception("ended")
        code = 1
    serve.leave(code)


if __name__ == "__main__":
    main()
