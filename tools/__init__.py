"""Writers of the generated parts of the documentation, and the tools of the kind cluster."""
