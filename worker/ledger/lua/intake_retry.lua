-- uses: intake trail
-- failed | waiting for its time -> waiting, due now, by an operator: the cause is mended.
-- ARGV: 2 event, 3 by, 4 why, 5 whether it is accounted for here (a bulk act is, as a whole). Returns {1, state} or {0, state or '', refusal}.
local event = load_event(ARGV[2])
if not event then return { 0, '', 'gone' } end
local is_later = event.s == 'waiting' and number_in(event, 'd') > now
if event.s ~= 'failed' and not is_later then
  return { 0, event.s, event.s == 'waiting' and 'waits_already' or 'not_failed' }
end
if event.s == 'failed' and call('EXISTS', K.intake_body .. event.id) == 0 then return { 0, event.s, 'body_missing' } end
note_event(event, 'retried', ARGV[3], ARGV[4])
if ARGV[5] == '1' then account('event_retry', ARGV[3], ARGV[4], event.id, 'source', event.o) end
drop(event, 'f', 'n', 'r', 'v', 'd', 'l')
move_event(event, 'waiting', now)
write_moves()
return { 1, event.s }
