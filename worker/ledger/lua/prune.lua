-- flags: allow-oom
-- uses: endings changing search
-- Delete jobs that ended in one state before a time, with all that hangs on them once the invitation is empty.
--
-- An invitation with a message still to be sent, or in doubt, is kept.
-- ARGV: 2 state, 3 ms before which it must have been entered, then 3 per job: id, search terms of its own (a number
-- that its link brought) and of its invitation.
-- Returns {jobs pruned, jobs kept}: one that has left the state, or entered it anew, counts as neither.
local state, before = ARGV[2], tonumber(ARGV[3])
local AT_WORK = { pending = true, sending = true, in_doubt = true }

local function deliveries_of(inv) return call('LRANGE', K.deliveries .. inv, 0, -1) end

local function has_work(inv)
  for _, id in ipairs(deliveries_of(inv)) do
    if AT_WORK[call('HGET', K.delivery .. id, 's')] then return true end
  end
  return call('ZSCORE', K.late, inv) ~= false
end

local function drop_invitation(inv, header, terms)
  unindex(inv, terms)
  for _, id in ipairs(deliveries_of(inv)) do
    local row = call('HMGET', K.delivery .. id, 's', 'r')
    call('ZREM', K.delivery_state .. row[1], id)
    if row[1] == 'failed' then unlist_failed(id, row[2]) end
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

local function drop(job, inv, its_terms, terms)
  local header = header_of(inv)
  drop_next(job)
  leave(job)
  call('ZREM', K.absent, job.id)
  call('DEL', K.job .. job.id, K.extra .. job.id, K.history .. job.id)
  if job.b then call('HINCRBY', K.batch .. job.b, 'pruned', 1) end
  let_claim_go(inv, header)
  -- Its number may be the invitation's as well, by which another of its jobs is still found.
  if its_terms ~= '' and not string.find(terms, its_terms, 1, true) then unindex(inv, its_terms) end
  if is_empty(inv, header) then drop_invitation(inv, header, terms) end
end

local pruned, kept = 0, 0
for at = 4, #ARGV, 3 do
  local id, inv = ARGV[at], invitation_of(ARGV[at])
  local entered = call('ZSCORE', K.state .. state, id)
  if entered and tonumber(entered) < before then
    if has_work(inv) then
      kept = kept + 1
    else
      drop(load(id), inv, ARGV[at + 1], ARGV[at + 2])
      pruned = pruned + 1
    end
  end
end
if pruned > 0 then call('HINCRBY', K.meta, 'pruned', pruned) end
return { pruned, kept }
