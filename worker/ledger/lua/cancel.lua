-- flags: allow-oom
-- uses: endings changing cancelling mending trail
-- available | scheduled -> cancelled; running -> running, to be cancelled where it would be rescheduled.
-- ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local refusal = refusal_of('cancel', job)
if refusal then return { 0, job.s, refusal } end
local is_asked_before = job.x
cancel(job, ARGV[3], ARGV[4])
if not is_asked_before then account('cancel', ARGV[3], ARGV[4], job.id, 'state', job.s) end
return { 1, job.s }
