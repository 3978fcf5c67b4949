-- flags: allow-oom
-- uses: intake trail
-- failed | waiting -> skipped, by an operator: nothing will come of it.
-- ARGV: 2 event, 3 by, 4 why, 5 whether it is accounted for here (a bulk act is, as a whole). Returns {1, state} or {0, state or '', refusal}.
local REFUSALS = { working = 'being_worked_on', skipped = 'skipped_already', done = 'not_failed' }
local event = load_event(ARGV[2])
if not event then return { 0, '', 'gone' } end
if REFUSALS[event.s] then return { 0, event.s, REFUSALS[event.s] } end
note_event(event, 'discarded', ARGV[3], ARGV[4])
if ARGV[5] == '1' then account('event_discard', ARGV[3], ARGV[4], event.id, 'source', event.o) end
put(event, 'r', 'discarded')
drop(event, 'l')
close_event(event, 'skipped')
-- What was given up is not kept to be looked at, whichever source it is of.
bodies_gone[#bodies_gone + 1] = K.intake_body .. event.id
write_moves()
return { 1, event.s }
