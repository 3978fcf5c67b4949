-- Pauses, holds, the canary, and the row of equal FAILs that makes a hold.

local CANARY = 5       -- calls in flight until that many have ended
local ROW_TO_HOLD = 5  -- equal FAILs in a row
local LANE_TRUSTED = 100 -- endings after which a lane whose hold was cleared has no ramp any more

-- Return 'paused' or 'held' where *lane*, or *batch* if given, takes no work; else nil.
local function stop_of(lane, batch)
  if call('EXISTS', K.pauses, K.holds) == 0 then return nil end
  for _, scope in ipairs({ lane, batch and 'batch:' .. batch }) do
    if call('SISMEMBER', K.pauses, scope) == 1 then return 'paused' end
  end
  for _, scope in ipairs({ lane, batch and 'batch:' .. batch }) do
    if call('HEXISTS', K.holds, scope) == 1 then return 'held' end
  end
  return nil
end

local function hold_reason(scope)
  local hold = call('HGET', K.holds, scope)
  return hold and string.match(hold, '^[^' .. US .. ']*')
end

-- Tell whether the job's lane or batch is held for this very reason.
local function is_held_for(job, reason)
  if call('EXISTS', K.holds) == 0 then return false end
  return hold_reason(job.l) == reason or (job.b and hold_reason('batch:' .. job.b) == reason) or false
end

-- Return how many more jobs of the scope may be rung: a canary of 5, then twice what has ended. Batches of the
-- bulk lane begin with one; any scope does after a hold.
local function ramp_room(scope)
  local ended = tonumber(call('HGET', K.guard .. scope, 'ended') or nil)
  if not ended then return math.huge end
  local busy = call('HMGET', K.tally .. scope, 'rung', 'running')
  local limit = ended < CANARY and CANARY or 2 * ended
  return math.max(0, limit - (tonumber(busy[1] or nil) or 0) - (tonumber(busy[2] or nil) or 0))
end

local function hold(scope, reason)
  if call('HEXISTS', K.holds, scope) == 1 then return end
  call('HSET', K.holds, scope, reason .. US .. string.format('%.0f', now))
end

-- With it goes as what its FAILs have been explained meanwhile: fields `as:<reason>` of the guard.
local function forget_row(scope)
  call('DEL', K.suspects .. scope)
  for _, field in ipairs(call('HKEYS', K.guard .. scope)) do
    if field == 'reason' or string.sub(field, 1, 3) == 'as:' then call('HDEL', K.guard .. scope, field) end
  end
end

local function end_row(scope)
  if call('HEXISTS', K.holds, scope) == 1 then return end -- what made a hold stays until that is cleared
  forget_row(scope)
end

-- Clearing a hold begins the scope's canary anew. A batch's FAILs have counted for its lane, too: that row ends.
local function clear_hold(scope)
  if call('HDEL', K.holds, scope) == 0 then return 0 end
  end_row(scope)
  if string.sub(scope, 1, 6) == 'batch:' then
    end_row('live')
    end_row('bulk')
  end
  call('HSET', K.guard .. scope, 'ended', 0)
  return 1
end

-- An attempt ended, whichever way: the ramps rise.
local function count_ending(job)
  local batch = job.b and K.guard .. 'batch:' .. job.b
  if batch and call('HEXISTS', batch, 'ended') == 1 then call('HINCRBY', batch, 'ended', 1) end
  local lane = K.guard .. job.l
  if call('HEXISTS', lane, 'ended') == 1 and call('HINCRBY', lane, 'ended', 1) >= LANE_TRUSTED then
    call('HDEL', lane, 'ended')
  end
end

-- A link, or a FAIL of the row's own data: the partner works, so no row of equal FAILs.
local function note_healthy(job)
  end_row(job.l)
  if job.b then end_row('batch:' .. job.b) end
end

local function lengthen_row(scope, job, reason, most)
  local guard = K.guard .. scope
  if call('HGET', guard, 'reason') ~= reason then
    if call('HEXISTS', K.holds, scope) == 1 then return end
    forget_row(scope)
    call('HSET', guard, 'reason', reason)
  end
  if call('SCARD', K.suspects .. scope) >= most then return end
  call('SADD', K.suspects .. scope, job.id)
  if call('SCARD', K.suspects .. scope) >= ROW_TO_HOLD then hold(scope, reason) end
end

-- A FAIL that is not the row's own: five in a row of one batch hold the batch. The lane is held when such a
-- FAIL shows outside a batch held for it as well, so that one bad file does not stop its neighbours.
local function note_systemic(job, reason)
  local most = ROW_TO_HOLD
  if job.b then
    lengthen_row('batch:' .. job.b, job, reason, ROW_TO_HOLD)
    if hold_reason('batch:' .. job.b) == reason then most = ROW_TO_HOLD - 1 end
  end
  lengthen_row(job.l, job, reason, most)
end

-- Tell whether a FAIL of the scope's row still stands. One that was edited, requeued or given up since says nothing more.
local function is_suspected(scope)
  for _, id in ipairs(call('SMEMBERS', K.suspects .. scope)) do
    if call('HGET', K.job .. id, 's') == 'failed' then return true end
  end
  return false
end

-- The job's FAIL was explained as its own data, *as* a reason: a hold none of whose evidence is left has no ground.
local function explain_away(job, reason, as)
  for _, scope in ipairs({ job.l, job.b and 'batch:' .. job.b }) do
    if call('SREM', K.suspects .. scope, job.id) == 1 then
      call('HINCRBY', K.guard .. scope, 'as:' .. as, 1)
      if not is_suspected(scope) and hold_reason(scope) == reason then clear_hold(scope) end
    end
  end
end
