-- uses: endings search sending trail
-- sent | in_doubt | failed | skipped -> pending, by an operator.
-- ARGV: 2 delivery, 3 by, 4 why, 5 the invitation's new record (another contact) or '', 6 search terms
-- that it takes, 7 gives. Returns {1, state} or {0, state or '', refusal}.
local delivery = load_delivery(ARGV[2])
if not delivery then return { 0, '', 'gone' } end
if delivery.s == 'pending' or delivery.s == 'sending' then return { 0, delivery.s, 'waits_already' } end
local is_readdressed, was = ARGV[5] ~= '', delivery.s
if is_readdressed then
  call('SET', K.invitation .. delivery.inv, ARGV[5])
  unindex(delivery.inv, ARGV[6])
  index(delivery.inv, ARGV[7])
end
resend(delivery, { by = ARGV[3], why = ARGV[4], is_readdressed = is_readdressed })
account('resend', ARGV[3], ARGV[4], delivery.id, 'was', was, 'channel', delivery.channel,
  'readdressed', is_readdressed and '1' or '0')
return { 1, delivery.s }
