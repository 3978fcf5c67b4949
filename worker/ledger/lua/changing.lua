-- Links that are replaced or deleted.
--
-- A job's `op` says what is being done to its link: 'rd' delete it, then make another · 'rc' make another, nothing is in
-- its way · 'v' delete it for good. `rn` counts the links that were replaced: each has a reference of its own, lest a
-- look-up take one for another. `dt` is when a delete ended whose answer was lost: it may still be done a little later.
-- A changed request waits among the job's long values (`next`, its claim and its search terms) until the old link is
-- deleted: calling the change off leaves all as it was. Its claim is taken at once.

local CANCELLED_AS = { cancelled = 'cancelled', linked = 'called_off', revoked = 'revoked' }

local function is_whatsapp(job) return string.sub(job.id, -1) == 'w' end

local function is_deleting(job) return job.op == 'rd' or job.op == 'v' end

-- Only where a replace waits for its delete, of whichever job of the invitation.
local function has_next(inv, header)
  for code in string.gmatch(header.products, '.') do
    if call('HEXISTS', K.extra .. inv .. code, 'next') == 1 then return true end
  end
  return false
end

-- Return why a message is not sent again, or nil: a link that is being changed, or is gone, is not; a new one is sent by
-- itself.
local function links_refusal(delivery)
  local has_link, has_its_own, first
  for code in string.gmatch(delivery.j, '.') do
    local row = call('HMGET', K.job .. delivery.inv .. code, 's', 'op', 'w')
    if row[2] then return 'change_pending' end
    has_link, first = has_link or row[1] == 'linked', first or row[1]
    has_its_own = has_its_own or (row[1] == 'linked' and tonumber(row[3] or 0) == delivery.generation)
  end
  if not has_link and first then return 'is_' .. first end
  if delivery.template == TEMPLATE and not has_its_own then return 'link_replaced' end
  return has_next(delivery.inv, header_of(delivery.inv)) and 'change_pending' or nil
end

local function release_claim(inv, claim)
  if call('GET', K.claim .. claim) == inv then call('DEL', K.claim .. claim) end
end

-- What was asked for the new link is forgotten; the number that it was to have is free again.
local function drop_next(job)
  local inv, claim = invitation_of(job.id), call('HGET', K.extra .. job.id, 'next_claim')
  if not claim then return end
  if claim ~= header_of(inv).claim then release_claim(inv, claim) end
  call('HDEL', K.extra .. job.id, 'next', 'next_claim', 'next_lost', 'next_gained')
end

-- From here on the job is about another link. A message says which one it replaces, if the customer had that.
local function begin_making(job)
  local extra = K.extra .. job.id
  local kept = call('HMGET', extra, 'made', 'replaced')
  call('HSET', extra, 'replaced_before', kept[2] or '')
  local is_told = job.w and was_told(invitation_of(job.id), string.sub(job.id, -1), job.w)
  if kept[1] and is_told then call('HSET', extra, 'replaced', kept[1]) end
  set(job, 'op', 'rc', 'rn', (job.rn or 0) + 1)
end

-- The link that was to be replaced stands as it did.
local function take_back_making(job)
  local extra = K.extra .. job.id
  local before = call('HGET', extra, 'replaced_before')
  if text(before or '') then call('HSET', extra, 'replaced', before) else call('HDEL', extra, 'replaced') end
  set(job, 'rn', (job.rn or 1) - 1)
end

local function forget_link(job) call('HDEL', K.extra .. job.id, 'link', 'landing', 'number', 'made') end

local function end_change(job) unset(job, 'op', 'dt', 'x', 'f', 'n', 'r', 'rc', 'pc') end

local function let_act_go(job)
  if job.z then end_for_act(K.job .. job.id, job.z, 'other', job.r) end
  job.z = nil
end

-- Back to `linked`: the link was not touched. That is no new link, so none is told of.
local function call_off(job)
  local inv = invitation_of(job.id)
  let_act_go(job)
  drop_next(job)
  if job.op == 'rc' then take_back_making(job) end
  leave(job)
  set(job, 's', 'linked', 'c', now)
  call('ZADD', K.state .. 'linked', now, job.id)
  count(job, 'linked', 1)
  end_change(job)
  return conclude(inv, header_of(inv))
end

-- The link is not at the partner, and none is to be made.
local function revoke_now(job)
  drop_next(job)
  forget_link(job)
  local made = finish(job, 'revoked')
  end_change(job)
  return made
end

-- A delete that may have been done can't be called off: the link is deleted for good. Tell whether that is so.
local function revokes_instead(job)
  if not is_deleting(job) or not job.dt then return false end
  let_act_go(job)
  drop_next(job)
  set(job, 'op', 'v')
  unset(job, 'x')
  return true
end

-- End what an operator called off: where a link stands it stays. Return the ids of deliveries that came due by it.
local function finish_cancelled(job)
  if not job.op then return finish(job, 'cancelled') end
  if is_deleting(job) or not is_whatsapp(job) then return call_off(job) end
  let_act_go(job)
  return revoke_now(job)
end
