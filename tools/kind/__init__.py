"""The fleet on a local cluster: what `make cluster`, `deploy`, `kind-demo`, `e2e` and `cluster-down` do.

Only a cluster that kind made is ever touched: each command has kind write a kubeconfig of its own for it, which
holds that cluster and nothing else, and names file and context in every call. The user's kubeconfig and current
context are never changed, but that kind, when it removes a cluster, takes its own entry out of ~/.kube/config.
"""
