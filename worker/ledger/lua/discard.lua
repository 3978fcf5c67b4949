-- flags: allow-oom
-- uses: endings
-- failed -> dead, by an operator. ARGV: 2 job, 3 by, 4 why. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
if job.s ~= 'failed' then return { 0, job.s, job.s == 'dead' and 'dead_already' or 'not_failed' } end
finish(job, 'dead')
note(job, 'discarded', 'by', ARGV[3], 'why', ARGV[4])
return { 1, job.s }
