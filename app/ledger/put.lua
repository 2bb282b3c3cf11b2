-- Put a message onto a queue, last in line, as kombu does; for a server without memory, which refuses that: the task that
-- makes room must reach its worker.
-- ARGV: key prefix, queue, the message
return call('LPUSH', ARGV[2], ARGV[3])
