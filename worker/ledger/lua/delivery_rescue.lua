-- flags: allow-oom
-- uses: endings sending
-- sending -> pending | in_doubt | failed, for leases that ran out.
--
-- Not begun: pending, or failed when three starts found no end. Begun: the provider may have it.
-- ARGV: 2 most rows, 3 ms until a mail in doubt is sent once more. Returns how many.
local CRASHES = 3
local ids = call('ZRANGEBYSCORE', K.delivery_state .. 'sending', '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do
  local delivery = load_delivery(id)
  if delivery.g then
    erase(delivery, 'g')
    blame_delivery(delivery, 'lease_expired', 'transient', '')
    into_doubt(delivery, delivery.channel == 'email', tonumber(ARGV[3]))
  elseif tonumber(delivery.n or 0) >= CRASHES then
    erase(delivery, 'k', 'n')
    blame_delivery(delivery, 'crashed_three_times', 'exhausted', '')
    move_delivery(delivery, 'failed')
    fall_back(delivery)
  else
    erase(delivery, 'k')
    move_delivery(delivery, 'pending', now)
  end
end
return #ids
