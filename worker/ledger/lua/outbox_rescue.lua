-- flags: allow-oom
-- uses: outbox
-- sending -> waiting, for leases that ran out: nobody knows whether the sink took it, so it is told again.
-- ARGV: 2 most events of each sink. Returns how many.
local count = 0
for _, name in ipairs(call('HKEYS', K.sinks)) do
  local ids = call('ZRANGEBYSCORE', K.outbox_sending .. name, '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
  for _, id in ipairs(ids) do
    local event = load_outgoing(id)
    if event then put_back(event, now) else call('ZREM', K.outbox_sending .. name, id) end
  end
  count = count + #ids
end
return count
