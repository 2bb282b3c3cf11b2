-- Fill the window of a queue; first the documents whose pause is over become open again, whatever the window holds.
-- ARGV: key prefix, queue, now (us), least window, most events
local prefix, queue, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local reopened = plan(prefix, queue, now, 0)
reopened.bound, reopened.room = true, 0
fill(reopened)
fill(plan(prefix, queue, now, tonumber(ARGV[4])))
return 1
