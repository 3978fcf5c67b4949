-- flags: allow-oom
-- uses: guards endings settling
-- running | in_doubt (late answer) -> linked, for the lease holder only; the invitation's last job makes its deliveries.
--
-- ARGV: 2 job, 3 token, 4 link, 5 landing page or '', 6 number or ''.
-- Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], true)
if not job then return lost(ARGV[2], ARGV[3]) end
close(job)
count_ending(job)
note_healthy(job)
note(job, 'linked', 'attempt', job.a)
return answer(job, link_up(job, 'linked', ARGV[4], ARGV[5], ARGV[6]))
