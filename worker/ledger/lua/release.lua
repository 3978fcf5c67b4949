-- failed -> available: what was in its way went away by itself. ARGV: 2 job. Returns 1, or 0 when it is not failed.
local job = load(ARGV[2])
if not job or job.s ~= 'failed' then return 0 end
set(job, 'd', now)
move(job, 'available')
note(job, 'released', 'was', job.r)
unset(job, 'f', 'n', 'r', 'rc', 'pc')
return 1
