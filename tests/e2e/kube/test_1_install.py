"""What `helm install` makes: an answer, within the budget, confined as the chart says."""

import pytest

from tests.e2e.kube.cluster import READY_S, Cluster, mebibytes, millicores
from tests.e2e.suite import Suite
from tests.support import agui

ANSWER_S, IDLE_MIB, REQUESTS_MILLICORES = 120.0, 1.6 * 1024, 2000
LIMITS = "print(open('/sys/fs/cgroup/cpu.max').read(), open('/sys/fs/cgroup/memory.max').read())"
LIMITS_V1 = (
    "c='/sys/fs/cgroup/'; print(open(c+'cpu/cpu.cfs_quota_us').read(), open(c+'cpu/cpu.cfs_period_us').read(),"
    " open(c+'memory/memory.limit_in_bytes').read())"
)


@pytest.mark.timeout(2 * READY_S)
def test_it_answers_soon_and_stays_inside_the_budget(installed: tuple[Cluster, float]) -> None:
    cluster, seconds = installed
    used = cluster.get("resourcequota", cluster.part("budget"))["status"]["used"]
    memory = cluster.memory_mib()
    print(f"\nfirst answer after {seconds:.0f} s; requests {used['requests.cpu']} of CPU, {used['requests.memory']}")
    print(f"idle: {sum(memory.values()):.0f} MiB in all;", {name: round(one) for name, one in sorted(memory.items())})
    assert seconds < ANSWER_S
    assert millicores(used["requests.cpu"]) <= REQUESTS_MILLICORES
    assert sum(memory.values()) < IDLE_MIB


async def test_a_question_streams_from_outside_of_the_pods_network(suite: Suite) -> None:
    run_id = await suite.submit({"kind": "conversation", "message": "What does a mill do?", "mode": "chat"})
    log = await suite.log(run_id)
    agui.check(log)
    assert log[-1]["type"] == "RUN_FINISHED"
    assert agui.text(log, f"{run_id}:answer")


async def test_without_a_key_nobody_is_answered(suite: Suite) -> None:
    stranger = Suite(suite.home, suite.url, "hr-0123456789")
    assert (await stranger.post("/api/conversation", {"message": "hello"})).status_code == 401


def test_limits_in_the_cgroups_are_the_charts(cluster: Cluster) -> None:
    for pod in cluster.pods():
        (container,) = pod["spec"]["containers"]
        limits, name = container["resources"]["limits"], pod["metadata"]["name"]
        said = cluster.kubectl("exec", name, "--", "python3", "-c", LIMITS, check=False).split()
        if len(said) != 3 or not said[1].isdigit():
            said = cluster.python(name, LIMITS_V1).split()
        quota, period, memory = said
        assert int(quota) * 1000 // int(period) == millicores(limits["cpu"]), name
        assert int(memory) == mebibytes(limits["memory"]) * 2**20, name


def test_every_pod_runs_as_nobody_and_writes_nowhere(cluster: Cluster) -> None:
    program = (
        "import os\ntry: open('/x', 'w'); print('writable')\nexcept OSError as e: print(e.strerror)\n"
        "print(os.getuid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0], "
        "open('/proc/self/status').read().split('Seccomp:')[1].split()[0])"
    )
    for pod in cluster.pods():
        said = cluster.python(pod["metadata"]["name"], program).split("\n")
        assert said[0] == "Read-only file system", said
        uid, capabilities, seccomp = said[1].split()
        assert (int(uid) > 0, int(capabilities, 16), seccomp) == (True, 0, "2"), pod["metadata"]["name"]
