-- flags: allow-oom
-- uses: endings changing search sending outbox trail
-- Erase one invitation: its jobs in whatever state, all that hangs on them, and all by which they are found.
--
-- In the books its jobs count as pruned. Each leaves an entry in the trail: its state, reason and times, and nobody's name.
-- ARGV: 2 invitation, 3 by, 4 why.
-- Returns {1, jobs, messages, events of ours}, or {0, refusal, what it is about}: nothing is touched then.
local inv, by, why = ARGV[2], ARGV[3], ARGV[4]
local header = header_of(inv)
if not header then return { 1, 0, 0, 0 } end

-- The link can be opened at the partner, and only we know that.
local function has_link(job)
  if not is_whatsapp(job) then return false end
  return job.s == 'linked' or (job.s == 'failed' and (is_deleting(job) or job.r == 'replaced_link_stands'))
end

local function refusal_of_job(job)
  if job.s == 'running' or job.s == 'in_doubt' then return 'is_' .. job.s end
  if job.op and OPEN[job.s] then return 'change_pending' end
  return has_link(job) and 'link_stands' or nil
end

local jobs, messages = {}, {}
for code in string.gmatch(header.products, '.') do
  local job = load(inv .. code)
  if job then
    local refusal = refusal_of_job(job)
    if refusal then return { 0, refusal, job.id } end
    jobs[#jobs + 1] = job
  end
end
for _, id in ipairs(call('LRANGE', K.deliveries .. inv, 0, -1)) do
  local message = load_delivery(id)
  if message then
    if message.s == 'sending' then return { 0, 'being_sent', id } end
    messages[#messages + 1] = message
  end
end

local function drop_message(message)
  if message.z then end_for_act(K.delivery .. message.id, message.z, 'other', message.r or 'unknown') end
  if message.h then stop_waiting(message) end
  call('ZREM', K.rung .. message.channel, message.id)
  call('ZREM', K.outgoing .. message.channel, message.id)
  call('ZREM', K.delivery_state .. message.s, message.id)
  if message.s == 'failed' then unlist_failed(message.id, message.r) end
  call('DEL', K.delivery .. message.id)
end

-- What is told already is gone; what waits, or is on its way, holds the link.
local function drop_events(job)
  local dropped = 0
  for nth = 1, tonumber(job.e or 0) do
    local event = load_outgoing('evt_' .. job.id .. '_' .. nth)
    if event then
      forget(event)
      dropped = dropped + 1
    end
  end
  return dropped
end

local function ms(value) return string.format('%.0f', value) end

local function drop_job(job)
  local events = drop_events(job)
  let_act_go(job)
  drop_next(job)
  leave(job)
  call('ZREM', K.absent, job.id)
  call('SREM', K.suspects .. job.l, job.id)
  if job.b then
    call('SREM', K.suspects .. 'batch:' .. job.b, job.id)
    call('SREM', K.batch_spared .. job.b, job.id)
    call('HINCRBY', K.batch .. job.b, 'pruned', 1)
  end
  call('DEL', K.job .. job.id, K.extra .. job.id, K.history .. job.id)
  local facts = { 'state', job.s, 'source', header.source, 'accepted_ms', ms(job.t), 'changed_ms', ms(job.c or job.t) }
  for name, value in pairs({ reason = job.r, batch = job.b }) do
    facts[#facts + 1] = name
    facts[#facts + 1] = value
  end
  account('forget', by, why, job.id, unpack(facts))
  return events
end

-- By the invitation's id, and not by what its request says: another version may have read names in another way.
local BUCKETS = 64
local function unindex_all()
  local moment = string.sub(inv, 8, 9)
  for nth = 0, BUCKETS - 1 do
    local key = K.search .. string.format('%02x', nth) .. moment
    local whole = call('GET', key) or ''
    local at = string.find(whole, inv, 1, true)
    while at do
      strike(key, string.match(string.sub(whole, 1, at - 1), '\n[^\n]*$') .. inv)
      whole = call('GET', key) or ''
      at = string.find(whole, inv, 1, true)
    end
  end
end

-- Before and after of what operators changed.
local function drop_changes()
  for _, id in ipairs(call('ZRANGE', K.trail_index .. 'of:' .. inv, 0, -1)) do
    local detail, parts, is_value = call('HGET', K.trail_entry .. id, 'd') or '', {}, false
    for part in string.gmatch(detail .. US, '([^' .. US .. ']*)' .. US) do
      if is_value and parts[#parts] == 'changes' then part = '(erased)' end
      parts[#parts + 1] = part
      is_value = not is_value
    end
    local clean = table.concat(parts, US)
    if clean ~= detail then call('HSET', K.trail_entry .. id, 'd', clean) end
  end
end

local events = 0
for _, message in ipairs(messages) do drop_message(message) end
for _, job in ipairs(jobs) do events = events + drop_job(job) end
drop_changes()
unindex_all()
call('ZREM', K.late, inv)
release_claim(inv, header.claim)
if header.event ~= '' and call('GET', K.event .. header.event) == inv then call('DEL', K.event .. header.event) end
call('DEL', K.invitation .. inv, K.deliveries .. inv)
call('HINCRBY', K.meta, 'pruned', #jobs)
return { 1, #jobs, #messages, events }
