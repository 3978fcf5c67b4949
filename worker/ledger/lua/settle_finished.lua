-- flags: allow-oom
-- uses: endings changing settling
-- running -> onboarded, for the lease holder only: the customer finished with the link that was to be deleted.
-- ARGV: 2 job, 3 token. Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], false)
if not job or not is_deleting(job) then return lost(ARGV[2], ARGV[3]) end
local began, took = times_of(job)
close(job)
drop_next(job)
local made = finish(job, 'onboarded')
note(job, 'finished', 'attempt', job.a, 'op', job.op, 'began_ms', began, 'call_ms', took)
end_change(job)
return answer(job, made)
