"""What tests of several folders share: the command line, servers to test against, a release on a cluster."""
