-- flags: allow-oom
-- uses: endings sending
-- sending -> failed | skipped, for good; with policy `first` the next channel gets its delivery.
-- ARGV: 2 delivery, 3 token, 4 state, 5 reason, 6 class, 7 detail. Returns 1, or 0 when the lease was lost.
local delivery = sent_by(ARGV[2], ARGV[3], false)
if not delivery then return is_repeat(ARGV[2], ARGV[3]) end
end_send(delivery)
blame_delivery(delivery, ARGV[5], ARGV[6], ARGV[7])
move_delivery(delivery, ARGV[4])
fall_back(delivery)
return 1
