-- flags: allow-oom
-- uses: endings sending
-- sending -> pending, later; -> failed when its tries are used up.
--
-- ARGV: 2 delivery, 3 token, 4 reason, 5 class, 6 detail, 7 delay ms, 8 most failures ('' : this end counts as none).
-- Returns 1, or 0 when the lease was lost.
local delivery = sent_by(ARGV[2], ARGV[3], false)
if not delivery then return is_repeat(ARGV[2], ARGV[3]) end
end_send(delivery)
blame_delivery(delivery, ARGV[4], ARGV[5], ARGV[6])
local most = tonumber(ARGV[8])
if most then write(delivery, 'f', (delivery.f or 0) + 1) end
if most and tonumber(delivery.f) >= most then
  move_delivery(delivery, 'failed')
  fall_back(delivery)
else
  move_delivery(delivery, 'pending', now + tonumber(ARGV[7]))
end
return 1
