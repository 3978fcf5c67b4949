-- flags: allow-oom
-- uses: endings cancelling
-- available | scheduled -> cancelled, for one chunk of a batch's jobs; running ones are marked.
-- ARGV: 2 batch, 3 by, 4 why, 5 first, 6 most jobs. Returns {jobs seen, cancelled, running}.
call('HSETNX', K.batch .. ARGV[2], 'cancelled', now)
local ids = call('LRANGE', K.batch_jobs .. ARGV[2], ARGV[5], ARGV[5] + ARGV[6] - 1)
local cancelled, running = 0, 0
for _, id in ipairs(ids) do
  local job = load(id)
  local state = job and cancel(job, ARGV[3], ARGV[4])
  if state == 'cancelled' then cancelled = cancelled + 1 end
  if state == 'running' then running = running + 1 end
end
return { #ids, cancelled, running }
