-- flags: allow-oom
-- uses: guards endings changing settling
-- running | in_doubt (late answer) -> failed, or dead by the reason's policy; for the lease holder only.
-- Where the lane or batch is held for this reason -> available (cancelled, if that was asked for).
--
-- ARGV: 2 job, 3 token, 4 reason, 5 class, 6 code or '', 7 raw, 8 detail, 9 '1' own data, 10 '1' discard.
-- Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], true)
if not job then return lost(ARGV[2], ARGV[3]) end
local began, took = times_of(job)
close(job)
if not is_deleting(job) then count_ending(job) end
local made = give_up(job, { unpack(ARGV, 4, 8) }, ARGV[9] == '1', ARGV[10] == '1')
note(job, job.s == 'available' and 'held' or CANCELLED_AS[job.s] or job.s, 'attempt', job.a, 'reason', ARGV[4], 'code', ARGV[6], 'raw', ARGV[7],
  'began_ms', began, 'call_ms', took)
return answer(job, made)
