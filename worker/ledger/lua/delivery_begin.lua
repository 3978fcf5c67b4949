-- flags: allow-oom
-- uses: endings sending window
-- sending -> sending, the intent written: from here on a lost answer leaves the delivery in doubt.
-- sending -> pending, put off, when the send window closes before it could have gone out; due at once, when one of its
-- links does not stand any more as it did when it was claimed: the next claim brings what stands by then.
-- ARGV: 2 delivery, 3 token, 4 lease ms (the lease runs anew from here), 5 closed times (window.lua).
-- Returns 1, or 0 when nothing may be sent: the lease is over, the window closes, or a link was changed.
local delivery = sent_by(ARGV[2], ARGV[3], false)
if not delivery then return 0 end
local index = K.delivery_state .. 'sending'
if tonumber(call('ZSCORE', index, delivery.id)) <= now then return 0 end
-- One that is being changed meanwhile must not go out any more, nor a reminder to who has finished.
for code in string.gmatch(delivery.y or delivery.j, '.') do
  local row = call('HMGET', K.job .. delivery.inv .. code, 's', 'w')
  local is_another = delivery.template == TEMPLATE and tonumber(row[2] or 0) ~= delivery.generation
  if row[1] ~= 'linked' or is_another then
    erase(delivery, 'k', 'n')
    move_delivery(delivery, 'pending', now)
    return 0
  end
end
local until_ = closed_for(delivery, read_times(ARGV[5]))
if until_ then
  erase(delivery, 'k', 'n')
  put_off(delivery, until_)
  return 0
end
write(delivery, 'g', now)
call('ZADD', index, now + tonumber(ARGV[4]), delivery.id)
return 1
