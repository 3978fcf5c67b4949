-- Index failed jobs that were let try again before there was an index of them. Again changes nothing.
-- ARGV: 2… job ids. Returns how many there were.
local again = 0
for at = 2, #ARGV do
  local row = call('HMGET', K.job .. ARGV[at], 's', 'q', 'r')
  local failed_at = row[1] == 'failed' and row[2] and call('ZSCORE', K.failed .. row[3], ARGV[at])
  if failed_at then
    call('ZADD', K.requeued_failed, failed_at, ARGV[at])
    again = again + 1
  end
end
return again
