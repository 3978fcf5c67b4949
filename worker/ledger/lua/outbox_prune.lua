-- flags: allow-oom
-- uses: outbox
-- Delete events of one sink that failed, or were due, before a time. ARGV: 2 sink, 3 ms, 4 most events. Returns how many.
local count = 0
for _, index in ipairs({ K.outbox_failed .. ARGV[2], K.outbox_due .. ARGV[2] }) do
  for _, id in ipairs(call('ZRANGEBYSCORE', index, '-inf', '(' .. ARGV[3], 'LIMIT', 0, ARGV[4] - count)) do
    call('ZREM', index, id)
    call('DEL', K.outbox .. id)
    count = count + 1
  end
  if count >= tonumber(ARGV[4]) then break end
end
return count
