-- flags: allow-oom
-- uses: endings changing cancelling
-- available | scheduled -> cancelled, for one chunk of a batch's jobs; running ones and those in doubt are marked.
--
-- The marked are remembered, so that what became of them can be told: their calls are made, or under way.
-- ARGV: 2 batch, 3 by, 4 why, 5 first, 6 most jobs. Returns {jobs seen, cancelled, running, in doubt}.
local by, why = ARGV[3], ARGV[4]
call('HSETNX', K.batch .. ARGV[2], 'cancelled', now)

-- Left as it is where a look-up finds its link; cancelled where it would be tried again.
local function mark(job)
  if job.x then return end
  note(job, 'cancel_asked', 'by', by, 'why', why)
  set(job, 'x', 1)
end

-- A change of a link that is called off counts as cancelled; a delete that is brought to its end goes on like a call.
local COUNTED_AS = { linked = 'cancelled', revoked = 'cancelled', available = 'running', scheduled = 'running' }
local count = { cancelled = 0, running = 0, in_doubt = 0 }
local ids = call('LRANGE', K.batch_jobs .. ARGV[2], ARGV[5], ARGV[5] + ARGV[6] - 1)
for _, id in ipairs(ids) do
  local job = load(id)
  local state = job and (cancel(job, by, why) or job.s == 'in_doubt' and 'in_doubt')
  if state == 'in_doubt' then mark(job) end
  if state == 'running' or state == 'in_doubt' then call('SADD', K.batch_spared .. ARGV[2], id) end
  if state then
    local as = COUNTED_AS[state] or state
    count[as] = count[as] + 1
  end
end
return { #ids, count.cancelled, count.running, count.in_doubt }
