-- flags: allow-oom
-- available, rung -> available, queued: nobody has room for it now. Its place is by its due time: the front.
-- ARGV: 2 job. Returns 1 when it stood rung.
local job = load(ARGV[2])
if not job or job.s ~= 'available' then return 0 end
unring(job)
return 1
