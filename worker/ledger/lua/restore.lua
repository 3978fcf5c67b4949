-- flags: allow-oom
-- uses: endings changing mending trail
-- dead -> failed, with the reason it had, by an operator. The number's claim is taken again.
-- ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local claim = header_of(invitation_of(job.id)).claim
local refusal = refusal_of('restore', job, claim)
if refusal then return { 0, job.s, refusal } end
restore_job(job, claim, { by = ARGV[3], why = ARGV[4] })
account('restore', ARGV[3], ARGV[4], job.id, 'reason', job.r)
return { 1, job.s }
