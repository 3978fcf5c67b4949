-- flags: allow-oom
-- uses: endings changing mending replacing trail
-- linked | failed -> available, its link to be deleted for good; -> revoked where none stands any more. By an operator.
-- ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local refusal = refusal_of('revoke', job)
if refusal then return { 0, job.s, refusal } end
local was = job.s == 'failed' and job.r or job.s
revoke_job(job, { by = ARGV[3], why = ARGV[4] })
account('revoke', ARGV[3], ARGV[4], job.id, 'was', was)
return { 1, job.s }
