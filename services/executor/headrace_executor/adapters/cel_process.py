"""The process that evaluates expressions for `cel_worker`: requests on standard input, answers on standard output.

A message is four bytes of length, big-endian, and that much JSON: {"source", "scope"} in, {"value"} or {"failed"} out. It
ends when its input does, and by SIGALRM when one expression takes longer than argv[1] seconds, whoever still watches it.
"""

import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

import orjson
from headrace_blueprint import expressions

LENGTH = struct.Struct(">I")
MAX_MEMORY_BYTES = 96 * 1024 * 1024
"""Private memory of the process, 27 MiB of it its own: an expression that needs more ends the worker, not the pod."""


OOM_SCORE = "1000"
"""Where memory runs out all the same, Linux ends this process and not the executor."""


def main() -> None:
    """Answer requests until there are no more."""
    seconds = float(sys.argv[1])
    if sys.platform == "linux":  # elsewhere it does not count what is mapped, or refuses what is less than that
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        with suppress(OSError):  # a sandbox without this file has no such choice either
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.read(LENGTH.size):
        request = orjson.loads(source.read(LENGTH.unpack(header)[0]))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = orjson.dumps(_answer(request))
        signal.setitimer(signal.ITIMER_REAL, 0)
        sink.write(LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _answer(request: dict[str, object]) -> dict[str, object]:
    try:
        expression = expressions.compile_expression(str(request["source"]))
        value = expressions.evaluate(expression, request["scope"])  # type: ignore[arg-type]
        orjson.dumps(value)
    except (expressions.InvalidExpression, expressions.EvaluationFailed) as error:
        return {"failed": str(error)}
    except (MemoryError, TypeError) as error:
        return {"failed": f"the result is too large or no JSON ({type(error).__name__})"}
    return {"value": value}


if __name__ == "__main__":
    main()
