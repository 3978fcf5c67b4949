-- flags: allow-oom
-- uses: outbox
-- failed -> waiting, due now, with all tries before them; by an operator. The sink is turned on again.
-- ARGV: 2 sink, 3 most events. Returns how many.
lift(ARGV[2])
local ids = call('ZRANGE', K.outbox_failed .. ARGV[2], 0, ARGV[3] - 1)
for _, id in ipairs(ids) do
  local event = load_outgoing(id)
  if event then
    call('HDEL', K.outbox .. id, 'f', 'r', 'hs')
    put_back(event, now)
  else
    call('ZREM', K.outbox_failed .. ARGV[2], id)
  end
end
return #ids
