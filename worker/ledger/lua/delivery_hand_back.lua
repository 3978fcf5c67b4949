-- flags: allow-oom
-- uses: endings sending
-- pending, rung -> pending, queued: nobody has room for it now. Its place is by its due time: the front.
-- ARGV: 2 delivery. Returns 1 when it stood rung.
local delivery = load_delivery(ARGV[2])
if not delivery or delivery.s ~= 'pending' then return 0 end
if call('ZREM', K.rung .. delivery.channel, delivery.id) == 0 then return 0 end
call('ZADD', K.outgoing .. delivery.channel, delivery.d, delivery.id)
return 1
