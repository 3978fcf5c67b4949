-- uses: endings sending window
-- pending -> pending, rung: choose the deliveries of a channel whose bells are to be rung now. While the send window is
-- closed they are put off instead: no bell, and no slot of the channel's rate, is spent on them.
-- ARGV: 2 channel, 3 most bells outstanding, 4 ms after which an unclaimed bell is rung again, 5 closed times
-- (window.lua). Returns ids: none while the channel is paused.
if call('SISMEMBER', K.pauses, 'channel:' .. ARGV[2]) == 1 then return {} end
local PUT_OFF_AT_ONCE = 100
local rung, outgoing = K.rung .. ARGV[2], K.outgoing .. ARGV[2]
local want = math.min(tonumber(ARGV[3]), 500)
local times, chosen, put_offs = read_times(ARGV[5]), {}, 0
local is_closed = opens_at(times) ~= nil

-- Choose a delivery, or put it off.
local function choose(id)
  local delivery = is_closed and load_delivery(id)
  local until_ = delivery and closed_for(delivery, times)
  if until_ then
    put_off(delivery, until_)
    put_offs = put_offs + 1
    return
  end
  call('ZREM', outgoing, id)
  chosen[#chosen + 1] = id
end

for _, id in ipairs(call('ZRANGEBYSCORE', rung, '-inf', now - ARGV[4], 'LIMIT', 0, want)) do
  if put_offs < PUT_OFF_AT_ONCE then choose(id) end
end
local room = want - call('ZCARD', rung)
if room > 0 then
  -- What is put off takes nobody's room: who is exempt may stand behind many who are not.
  local most = is_closed and room + PUT_OFF_AT_ONCE or room
  for _, id in ipairs(call('ZRANGEBYSCORE', outgoing, '-inf', now, 'LIMIT', 0, most)) do
    if room > 0 and put_offs < PUT_OFF_AT_ONCE then
      local before = #chosen
      choose(id)
      room = room - (#chosen - before)
    end
  end
end
for _, id in ipairs(chosen) do call('ZADD', rung, now, id) end
return chosen
