"""The ledger: the state of every document and batch, in Redis; its atomic steps are the Lua scripts in this folder."""
