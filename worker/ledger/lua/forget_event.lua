-- flags: allow-oom
-- uses: intake
-- Erase one event that came in, with what it said; its key stays known as a hash, so that it is not taken in again.
-- ARGV: 2 event. Returns 1; 0 when there is no such event, or it is being worked on.
local event = load_event(ARGV[2])
if not event or event.s == 'working' then return 0 end
forget_row(index_of(event.s, event.o), event.id)
write_moves()
call('DEL', K.intake .. event.id, K.intake_body .. event.id, K.intake_history .. event.id)
return 1
