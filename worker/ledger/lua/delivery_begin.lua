-- flags: allow-oom
-- uses: endings sending
-- sending -> sending, the intent written: from here on a lost answer leaves the delivery in doubt.
-- ARGV: 2 delivery, 3 token, 4 lease ms (the lease runs anew from here). Returns 1, or 0 when the lease is over.
local delivery = sent_by(ARGV[2], ARGV[3], false)
if not delivery then return 0 end
local index = K.delivery_state .. 'sending'
if tonumber(call('ZSCORE', index, delivery.id)) <= now then return 0 end
write(delivery, 'g', now)
call('ZADD', index, now + tonumber(ARGV[4]), delivery.id)
return 1
