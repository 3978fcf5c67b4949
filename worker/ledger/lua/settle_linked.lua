-- flags: allow-oom
-- uses: guards endings changing settling search
-- running | in_doubt (late answer) -> linked, for the lease holder only; the invitation's last job makes its deliveries.
--
-- ARGV: 2 job, 3 token, 4 link, 5 landing page or '', 6 number or '', 7 the number's search term or ''.
-- Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], true)
if not job then return lost(ARGV[2], ARGV[3]) end
local began, took = times_of(job)
close(job)
count_ending(job)
note_healthy(job)
index(invitation_of(job.id), ARGV[7])
note(job, 'linked', 'attempt', job.a, 'began_ms', began, 'call_ms', took)
return answer(job, link_up(job, 'linked', ARGV[4], ARGV[5], ARGV[6]))
