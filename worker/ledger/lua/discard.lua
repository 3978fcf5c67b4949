-- flags: allow-oom
-- uses: endings changing mending trail
-- failed -> dead, by an operator. ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local refusal = refusal_of('discard', job)
if refusal then return { 0, job.s, refusal } end
discard_job(job, { by = ARGV[3], why = ARGV[4] })
account('discard', ARGV[3], ARGV[4], job.id, 'reason', job.r)
return { 1, job.s }
