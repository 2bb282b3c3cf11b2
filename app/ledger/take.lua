-- Take the next message from a queue, as the transport's BLMOVE does; for a server without memory, which refuses that.
-- ARGV: key prefix, queue, list of the worker's messages
return call('LMOVE', ARGV[2], ARGV[3], 'RIGHT', 'LEFT')
