-- flags: allow-oom
-- uses: endings
-- Delete jobs that ended in one state before a time, with all that hangs on them once the invitation is empty.
--
-- An invitation with a message still to be sent, or in doubt, is kept.
-- ARGV: 2 state, 3 ms before which it must have been entered, 4 most jobs looked at, 5 how many to skip.
-- Returns {jobs pruned, jobs kept}.
local state = ARGV[2]
local AT_WORK = { pending = true, sending = true, in_doubt = true }

local function deliveries_of(inv) return call('LRANGE', K.deliveries .. inv, 0, -1) end

local function has_work(inv)
  for _, id in ipairs(deliveries_of(inv)) do
    if AT_WORK[call('HGET', K.delivery .. id, 's')] then return true end
  end
  return call('ZSCORE', K.late, inv) ~= false
end

local function drop_invitation(inv, header)
  for _, id in ipairs(deliveries_of(inv)) do
    call('ZREM', K.delivery_state .. call('HGET', K.delivery .. id, 's'), id)
    call('DEL', K.delivery .. id)
  end
  call('DEL', K.invitation .. inv, K.deliveries .. inv)
  if header.event ~= '' and call('GET', K.event .. header.event) == inv then call('DEL', K.event .. header.event) end
end

local function is_empty(inv, header)
  for code in string.gmatch(header.products, '.') do
    if call('EXISTS', K.job .. inv .. code) == 1 then return false end
  end
  return true
end

local function drop(job, inv)
  local header = header_of(inv)
  leave(job)
  call('DEL', K.job .. job.id, K.extra .. job.id, K.history .. job.id)
  if job.b then call('HINCRBY', K.batch .. job.b, 'pruned', 1) end
  let_claim_go(inv, header)
  if is_empty(inv, header) then drop_invitation(inv, header) end
end

local pruned, kept = 0, 0
local ids = call('ZRANGEBYSCORE', K.state .. state, '-inf', '(' .. ARGV[3], 'LIMIT', ARGV[5], ARGV[4])
for _, id in ipairs(ids) do
  local job, inv = load(id), invitation_of(id)
  if has_work(inv) then
    kept = kept + 1
  else
    drop(job, inv)
    pruned = pruned + 1
  end
end
if pruned > 0 then call('HINCRBY', K.meta, 'pruned', pruned) end
return { pruned, kept }
