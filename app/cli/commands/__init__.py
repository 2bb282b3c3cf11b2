"""The commands of `fleet`, one module each; no command imports another."""
