"""What became of every document and batch, kept in Redis; atomic steps are Lua scripts beside this file."""
