-- uses: endings sending
-- sent | in_doubt | failed | skipped -> pending, by an operator.
-- ARGV: 2 delivery, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local delivery = load_delivery(ARGV[2])
if not delivery then return { 0, '', 'gone' } end
if delivery.s == 'pending' or delivery.s == 'sending' then return { 0, delivery.s, 'waits_already' } end
erase(delivery, 'f', 'n', 'k', 'p', 'u', 'r', 'rc', 'v')
write(delivery, 'm', (delivery.m or 0) + 1)
move_delivery(delivery, 'pending', now)
for code in string.gmatch(delivery.j, '.') do
  note({ id = delivery.inv .. code }, 'resend', 'by', ARGV[3], 'why', ARGV[4], 'channel', delivery.channel)
end
return { 1, delivery.s }
