-- flags: allow-oom
-- uses: outbox trail
-- failed | waiting until later -> waiting, due now, with all tries before them; by an operator. The sink is turned on again.
-- ARGV: 2 sink, 3 most events, 4 by ('': our own, or accounted for already), 5 why.
-- Returns {how many were moved, how many more waited only because the sink stood still}.
local name, most = ARGV[2], tonumber(ARGV[3])
local due, failed = K.outbox_due .. name, K.outbox_failed .. name
local sink, freed = load_sink(name), 0
if sink.g or sink.ds or (sink.u and sink.u > now) then freed = call('ZCOUNT', due, '-inf', now) end
if ARGV[4] ~= '' then
  account('event_resend', ARGV[4], ARGV[5], name, 'failed', call('ZCARD', failed), 'waiting', call('ZCARD', due))
end
lift(name)
local ids = call('ZRANGE', failed, 0, most - 1)
if #ids < most then
  for _, id in ipairs(call('ZRANGEBYSCORE', due, '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, most - #ids)) do
    ids[#ids + 1] = id
  end
end
for _, id in ipairs(ids) do
  local event = load_outgoing(id)
  if event then
    call('HDEL', K.outbox .. id, 'f', 'r', 'hs')
    put_back(event, now)
  else
    call('ZREM', failed, id)
    call('ZREM', due, id)
  end
end
return { #ids, freed }
