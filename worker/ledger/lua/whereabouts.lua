-- flags: no-writes
-- uses: guards
-- Say where one job stands beyond its record: its place in the order, its lease, its doubt.
--
-- Its own queue's earlier jobs, the bells that are rung, and one job of each other queue of its lane for each of them
-- go before it; a bulk job lets the live lane go first. Stopped queues are in nobody's way.
-- ARGV: 2 job. Returns names and values, flat: place (of its queue, from 0), is_rung, rung, meanwhile, queues, live,
-- lease_end_ms, kept_since_ms, call_ms, call_ended_ms, lists, worker, late_ms. What does not apply is left out.
local QUEUES_SEEN = 500
local job, reply = load(ARGV[2]), {}
if not job then return reply end
local function add(name, value)
  if value then
    reply[#reply + 1] = name
    reply[#reply + 1] = tostring(value)
  end
end

local function meanwhile_of(own)
  local meanwhile, queues = 0, 0
  for _, name in ipairs(call('ZRANGE', K.queues .. job.l, 0, QUEUES_SEEN - 1)) do
    local batch = name ~= '-' and name or nil
    if name ~= (job.b or '-') and not stop_of(job.l, batch) then
      meanwhile = meanwhile + math.min(own, call('ZCARD', K.queue .. job.l .. ':' .. name))
      queues = queues + 1
    end
  end
  return meanwhile, queues
end

if job.s == 'available' then
  local place = call('ZRANK', queue_of(job), job.id)
  local rank = call('ZRANK', K.rung .. job.l, job.id)
  add('is_rung', rank and '1')
  add('place', place or rank)
  add('rung', not rank and call('ZCARD', K.rung .. job.l) or nil)
  local meanwhile, queues = meanwhile_of((place or 0) + 1)
  if not rank then
    add('meanwhile', meanwhile)
    add('queues', queues)
  end
  if job.l == 'bulk' and not stop_of('live') then add('live', call('HGET', K.tally .. 'live', 'available')) end
elseif job.s == 'running' then
  add('lease_end_ms', call('ZSCORE', K.state .. 'running', job.id))
elseif ENDED[job.s] then
  add('kept_since_ms', call('ZSCORE', K.state .. job.s, job.id))
end
add('call_ms', job.g)
add('call_ended_ms', job.u)
add('lists', job.v)
add('worker', job.k and string.match(job.k, '^(.*)%.'))
add('late_ms', call('ZSCORE', K.late, invitation_of(job.id)))
return reply
