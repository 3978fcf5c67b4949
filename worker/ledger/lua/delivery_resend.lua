-- uses: endings changing search rewriting sending trail
-- sent | in_doubt | failed | skipped -> pending, by an operator.
-- ARGV: 2 delivery, 3 by, 4 why; for another contact 5 the invitation's record that was changed, 6 the new one, 7 search
-- terms that it takes, 8 gives, 9 the changes as JSON. Returns {1, state} or {0, state or '', refusal}.
local delivery = load_delivery(ARGV[2])
if not delivery then return { 0, '', 'gone' } end
if delivery.s == 'pending' or delivery.s == 'sending' then return { 0, delivery.s, 'waits_already' } end

local refusal = links_refusal(delivery)
if refusal then return { 0, delivery.s, refusal } end
local is_readdressed, was = ARGV[5] ~= nil, delivery.s
if is_readdressed and not rewrite(delivery.inv, ARGV[5], ARGV[6], ARGV[7], ARGV[8]) then
  return { 0, was, 'edited_meanwhile' }
end
resend(delivery, { by = ARGV[3], why = ARGV[4], is_readdressed = is_readdressed })
if is_readdressed then
  account('resend', ARGV[3], ARGV[4], delivery.id, 'was', was, 'channel', delivery.channel, 'readdressed', '1',
    'changes', ARGV[9])
else
  account('resend', ARGV[3], ARGV[4], delivery.id, 'was', was, 'channel', delivery.channel, 'readdressed', '0')
end
return { 1, delivery.s }
