"""The fleet on a local cluster: `make cluster`, `deploy`, `kind-demo`, `e2e` and `cluster-down`.

The commands touch only a cluster that kind made: each has kind write a separate kubeconfig, which holds that cluster
alone, and names file and context in every call. They never change the user's kubeconfig or current context, with one
exception: when kind removes a cluster it also removes its own entry from ~/.kube/config.
"""
