-- uses: endings sending
-- sent | in_doubt | failed | skipped -> pending, by an operator.
-- ARGV: 2 delivery, 3 by, 4 why, 5 the invitation's new record (another contact) or ''. Returns {1, state} or {0, state or '', refusal}.
local delivery = load_delivery(ARGV[2])
if not delivery then return { 0, '', 'gone' } end
if delivery.s == 'pending' or delivery.s == 'sending' then return { 0, delivery.s, 'waits_already' } end
if ARGV[5] ~= '' then call('SET', K.invitation .. delivery.inv, ARGV[5]) end
erase(delivery, 'f', 'n', 'k', 'p', 'u', 'r', 'rc', 'v')
write(delivery, 'm', (delivery.m or 0) + 1)
move_delivery(delivery, 'pending', now)
for code in string.gmatch(delivery.j, '.') do
  note({ id = delivery.inv .. code }, 'resend', 'by', ARGV[3], 'why', ARGV[4], 'channel', delivery.channel,
    'readdressed', ARGV[5] ~= '' and '1' or '0')
end
return { 1, delivery.s }
