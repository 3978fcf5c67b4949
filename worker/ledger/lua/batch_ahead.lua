-- flags: no-writes
-- uses: guards
-- Count what is worked on before, or in turn with, the waiting jobs of a batch. Stopped queues are in nobody's way.
--
-- Batches are served in turn: until one of n jobs is done, each other gets as many turns, or as many as it has jobs.
-- ARGV: 2 batch, 3 its jobs that wait. Returns {live jobs that wait, jobs of other queues of the bulk lane meanwhile,
-- how many such queues}.
local QUEUES_SEEN = 500
local own, meanwhile, others = tonumber(ARGV[3]), 0, 0
for _, name in ipairs(call('ZRANGE', K.queues .. 'bulk', 0, QUEUES_SEEN - 1)) do
  local batch = name ~= '-' and name or nil
  if name ~= ARGV[2] and not stop_of('bulk', batch) then
    meanwhile = meanwhile + math.min(own, call('ZCARD', K.queue .. 'bulk:' .. name))
    others = others + 1
  end
end
local live = stop_of('live') and 0 or tonumber(call('HGET', K.tally .. 'live', 'available') or 0)
return { live, meanwhile, others }
