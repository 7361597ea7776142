"""What processes use, measured on real ones."""

import os
import signal
import subprocess
import sys

from headrace_cli.supervisor import measure, state
from headrace_cli.supervisor.state import Identity

BURN = "import time\nprint('up', flush=True)\nwhile True: pass"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"


def test_a_part_is_measured_with_its_descendants_and_the_supervisor_without() -> None:
    own = state.identify(os.getpid())
    assert own is not None
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        try:
            parent.stdout.readline()
            other = Identity(pid=own.pid, started_s=-99.0)
            alone, (part, gone) = measure.measure(own, [state.identify(parent.pid), other])
        finally:
            os.killpg(parent.pid, signal.SIGKILL)

    assert gone is None
    assert alone is not None
    assert part is not None
    assert part.cpu_percent > 5, "the child burns a core, the parent only waits"
    assert 0 < part.pss_bytes <= part.rss_bytes
    assert alone.cpu_percent < part.cpu_percent
