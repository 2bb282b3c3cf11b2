"""Code shared by tests of several folders: documents, the command line, servers, a release on a cluster."""
