-- flags: allow-oom
-- uses: endings sending
-- sending -> pending (a mail is sent once more) | in_doubt, for the lease holder only.
-- ARGV: 2 delivery, 3 token, 4 reason, 5 class, 6 detail, 7 '1' it may be sent once more, 8 in how many ms.
-- Returns 1, or 0 when the lease was lost.
local delivery = sent_by(ARGV[2], ARGV[3], false)
if not delivery then return is_repeat(ARGV[2], ARGV[3]) end
end_send(delivery, true)
blame_delivery(delivery, ARGV[4], ARGV[5], ARGV[6])
into_doubt(delivery, ARGV[7] == '1', tonumber(ARGV[8]))
return 1
