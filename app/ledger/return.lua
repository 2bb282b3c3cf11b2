-- Put a message that a worker holds back onto the queue, next in line.
-- ARGV: key prefix, queue, list of the worker's messages, the message there, the message as it is sent again
-- These meet a key of a wrong type before anything is written.
call('LLEN', ARGV[2])
call('HLEN', ARGV[1] .. 'counts')
if call('LREM', ARGV[3], 1, ARGV[4]) == 0 then return 0 end
call('RPUSH', ARGV[2], ARGV[5])
call('HINCRBY', ARGV[1] .. 'counts', 'returned', 1)
return 1
