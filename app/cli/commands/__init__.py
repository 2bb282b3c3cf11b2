"""The commands of `fleet`, a module each; none imports another."""
