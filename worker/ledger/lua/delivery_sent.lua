-- flags: allow-oom
-- uses: endings sending
-- sending | in_doubt | pending after doubt (late answer) -> sent, for the lease holder only.
-- ARGV: 2 delivery, 3 token, 4 the provider's id, 5 segments. Returns 1, or 0 when the lease was lost.
local delivery = sent_by(ARGV[2], ARGV[3], true)
if not delivery then return is_repeat(ARGV[2], ARGV[3]) end
end_send(delivery)
erase(delivery, 'r', 'rc', 'v')
write(delivery, 'i', ARGV[4], 'sg', ARGV[5])
move_delivery(delivery, 'sent')
return 1
