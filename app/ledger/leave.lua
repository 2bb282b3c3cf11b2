-- Remove a message from the list of the worker that took it, and put it back onto the queue, next in line, if it is given
-- once more.
-- ARGV: key prefix, queue, list of the worker's messages, the message, delivery tag ('' for none), the message to send again
--   ('' for none), name of a count ('' for none)
call('LLEN', ARGV[2])
call('LLEN', ARGV[3])
call('HLEN', ARGV[1] .. 'counts')
call('HDEL', ARGV[1] .. 'running:' .. ARGV[2], ARGV[5])
if call('LREM', ARGV[3], 1, ARGV[4]) == 0 then return 0 end
if ARGV[6] ~= '' then call('RPUSH', ARGV[2], ARGV[6]) end
if ARGV[7] ~= '' then call('HINCRBY', ARGV[1] .. 'counts', ARGV[7], 1) end
return 1
