-- flags: allow-oom
-- uses: endings cancelling
-- available | scheduled -> cancelled; running -> running, to be cancelled where it would be rescheduled.
-- ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
if job.s == 'cancelled' then return { 0, job.s, 'cancelled_already' } end
if not cancel(job, ARGV[3], ARGV[4]) then return { 0, job.s, 'past_cancelling' } end
return { 1, job.s }
