-- flags: allow-oom
-- running -> running, the intent written: from here on a lost answer leaves the job in doubt.
--
-- Refused once the lease is over: what began later might end after the look-ups that settle the doubt.
-- ARGV: 2 job, 3 token, 4 lease ms (the lease runs anew from here). Returns 1, or 0 when the lease was lost.
local job = load(ARGV[2])
if not job or job.s ~= 'running' or job.k ~= ARGV[3] then return 0 end
if tonumber(call('ZSCORE', K.state .. 'running', job.id)) <= now then return 0 end
set(job, 'g', now)
tick('calls', 1)
call('ZADD', K.state .. 'running', now + tonumber(ARGV[4]), job.id)
return 1
