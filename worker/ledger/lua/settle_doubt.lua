-- flags: allow-oom
-- uses: guards endings changing settling
-- running | in_doubt -> in_doubt, for the lease holder only. The token stays: a late answer may still settle it.
--
-- ARGV: 2 job, 3 token, 4 reason, 5 class, 6 code or '', 7 raw, 8 detail.
-- Returns {1, state}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], true)
if not job then return lost(ARGV[2], ARGV[3]) end
local began, took = times_of(job)
blame(job, { unpack(ARGV, 4, 8) })
count_ending(job)
unset(job, 'n')
-- The rescue may have been quicker: then the call ended later than it thought, and lists count from now.
set(job, 'u', now, 'v', 0)
if job.s == 'running' then move(job, 'in_doubt') end
note(job, 'in_doubt', 'attempt', job.a, 'reason', ARGV[4], 'raw', ARGV[7], 'began_ms', began, 'call_ms', took)
return answer(job)
