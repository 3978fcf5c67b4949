-- flags: allow-oom
-- uses: outbox
-- waiting -> sending, under a lease: events of one sink that are due, oldest first. One alone where the sink is down.
--
-- ARGV: 2 sink, 3 token, 4 lease ms, 5 most events.
-- Returns for each {id, lease end, type, job, occurred at, tries, failures, facts}.
local sink, most = load_sink(ARGV[2]), tonumber(ARGV[5])
most = math.min(most, room_of(sink) or most)
if most == 0 then return {} end
local lease_end, claimed = string.format('%.0f', now + tonumber(ARGV[4])), {}
for _, id in ipairs(call('ZRANGEBYSCORE', K.outbox_due .. sink.id, '-inf', now, 'LIMIT', 0, most)) do
  local event = load_outgoing(id)
  call('ZREM', K.outbox_due .. sink.id, id)
  if event then
    call('ZADD', K.outbox_sending .. sink.id, lease_end, id)
    call('HSET', K.outbox .. id, 'l', ARGV[3], 'a', (event.a or 0) + 1)
    claimed[#claimed + 1] = { id, lease_end, event.y, event.j, event.t, (event.a or 0) + 1, event.f or 0, event.v }
  end
end
return claimed
