-- failed -> available: what was in its way went away by itself. ARGV: 2 job.
-- Returns 1, or 0 when it is not failed, or its batch was cancelled.
local job = load(ARGV[2])
if not job or job.s ~= 'failed' then return 0 end
-- An operator's cancel is not undone by itself.
if job.b and call('HEXISTS', K.batch .. job.b, 'cancelled') == 1 then return 0 end
set(job, 'd', now)
move(job, 'available')
note(job, 'released', 'was', job.r)
unset(job, 'f', 'n', 'r', 'rc', 'pc')
return 1
