-- pending -> pending, rung: choose the deliveries of a channel whose bells are to be rung now.
-- ARGV: 2 channel, 3 most bells outstanding, 4 ms after which an unclaimed bell is rung again. Returns ids: none while
-- the channel is paused.
if call('SISMEMBER', K.pauses, 'channel:' .. ARGV[2]) == 1 then return {} end
local rung, outgoing = K.rung .. ARGV[2], K.outgoing .. ARGV[2]
local want = math.min(tonumber(ARGV[3]), 500)
local ids = call('ZRANGEBYSCORE', rung, '-inf', now - ARGV[4], 'LIMIT', 0, want)
local room = want - call('ZCARD', rung)
if room > 0 then
  for _, id in ipairs(call('ZRANGEBYSCORE', outgoing, '-inf', now, 'LIMIT', 0, room)) do
    call('ZREM', outgoing, id)
    ids[#ids + 1] = id
  end
end
for _, id in ipairs(ids) do call('ZADD', rung, now, id) end
return ids
