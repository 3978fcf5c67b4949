-- What the settle verbs share: whose lease it is, and what every end of an attempt clears.

-- Return the job while *token* is the right to settle it. A lease that ran out but that nobody rescued still
-- holds. With *may_be_late* the answer to a call in doubt is welcome too.
local function held_by(id, token, may_be_late)
  local job = load(id)
  if job and job.k == token and (job.s == 'running' or (may_be_late and job.s == 'in_doubt')) then
    return job
  end
  return nil
end

-- Nobody holds the job any more, and no late answer is awaited.
local function clear(job) unset(job, 'k', 'g', 'n', 'u', 'v', 'vb') end

-- When the attempt began and how long its call has taken, '' for what is not known: for the history, which is written
-- after `close` has forgotten both. An answer that comes late comes out of doubt: of it only the call is known.
local function times_of(job)
  local began = job.s == 'running' and job.c or job.g
  return began or '', job.g and string.format('%.0f', now - job.g) or ''
end

-- The attempt is over, settled by its holder.
local function close(job)
  set(job, 'p', job.k)
  clear(job)
end

local function answer(job, made)
  local reply = { 1, job.s }
  for _, id in ipairs(made or {}) do reply[#reply + 1] = id end
  return reply
end

-- The lease is not ours. If this very settle was done before and only its answer was lost, tell that again.
local function lost(id, token)
  local job = load(id)
  if not job or job.p ~= token then return { 0 } end
  local made = {}
  for _, delivery in ipairs(call('LRANGE', K.deliveries .. invitation_of(id), 0, -1)) do
    if call('HGET', K.delivery .. delivery, 's') == 'pending' then made[#made + 1] = delivery end
  end
  return answer(job, made)
end

-- End in `failed` (or `dead`), or go back to wait where the lane or batch is held for this reason: the
-- partner's answer proves that no link was made.
--
-- A link that can't be deleted stands: that is nothing to discard, and says nothing about links to be made.
local function give_up(job, fail, is_own_data, is_discard)
  if is_deleting(job) then
    blame(job, fail)
    return finish(job, 'failed')
  end
  if not is_own_data and is_held_for(job, fail[1]) then
    if job.x then return finish_cancelled(job) end
    move(job, 'available')
    return {}
  end
  blame(job, fail)
  local made = finish(job, is_discard and 'dead' or 'failed')
  if is_discard then call('HSET', K.extra .. job.id, 'dead_by', 'policy') end
  if is_own_data then note_healthy(job) else note_systemic(job, fail[1]) end
  return made
end
