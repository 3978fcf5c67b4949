-- flags: allow-oom
-- uses: outbox trail
-- failed | waiting -> waiting, due now, with all its tries before it; by an operator. Its sink is turned on again.
-- ARGV: 2 event, 3 by ('': our own, not accounted for), 4 why. Returns {1, state} or {0, state or '', refusal}.
local event = load_outgoing(ARGV[2])
if not event then return { 0, '', 'gone' } end
if call('ZSCORE', K.outbox_sending .. event.k, event.id) then return { 0, 'sending', 'waits_already' } end
lift(event.k)
call('HDEL', K.outbox .. event.id, 'f', 'r', 'hs')
put_back(event, now)
if ARGV[3] ~= '' then account('event_resend', ARGV[3], ARGV[4], event.id, 'sink', event.k) end
return { 1, 'waiting' }
