-- Fill the window of a queue, whatever it holds; first the documents whose pause is over become open again.
-- ARGV: key prefix, queue, now (us), least window
end_pauses(ARGV[1], ARGV[2], ARGV[3])
top_up(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]))
return 1
