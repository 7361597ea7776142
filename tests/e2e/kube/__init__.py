"""The suite on a real Kubernetes node, from its images, installed with Helm. Needs KUBECONFIG: `make test-e2e-kube`."""
