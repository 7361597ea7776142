"""`helm uninstall` leaves the data and nothing else."""

from tests.e2e.kube.cluster import Cluster, objects, run, until

KINDS = (
    *("deployments", "statefulsets", "replicasets", "pods", "jobs", "services", "configmaps", "secrets"),
    *("serviceaccounts", "roles", "rolebindings", "networkpolicies", "poddisruptionbudgets", "resourcequotas"),
    "executorscalers.headrace.dev",
)


def test_uninstalled_it_leaves_nothing_but_the_claims(cluster: Cluster) -> None:
    claims = cluster.get("persistentvolumeclaims")["items"]
    run("helm", "uninstall", cluster.release, "-n", cluster.namespace, "--wait")
    until(lambda: not objects(cluster, KINDS) or None, within_s=120, what=f"the end of {objects(cluster, KINDS)}")
    left = {one["metadata"]["name"] for one in cluster.get("persistentvolumeclaims")["items"]}
    assert left == {one["metadata"]["name"] for one in claims}
    assert left
