-- What an operator does to one job, whether by a verb of its own or in a step of a bulk act.
--
-- *who*: by, why; for a bulk act also act (its id), place (of the job in it) and lane (where its jobs are to wait).

local FIT = {
  requeue = { failed = true, dead = true },
  discard = { failed = true },
  restore = { dead = true },
  cancel = { available = true, scheduled = true, running = true },
  replace = { linked = true, failed = true },
  revoke = { linked = true, failed = true },
}
local UNFIT = { requeue = 'not_failed', discard = 'not_failed', restore = 'not_dead', cancel = 'past_cancelling' }
local DONE_BEFORE = { discard = 'dead', restore = 'failed', cancel = 'cancelled' }

-- A number is the WhatsApp job's alone; any other key is of all jobs of the invitation.
local function is_claimant(job, claim)
  return string.sub(claim, 1, 2) ~= 'n:' or string.sub(job.id, -1) == 'w'
end

local function is_claimed_by_another(job, claim)
  if not is_claimant(job, claim) then return false end
  local owner = call('GET', K.claim .. claim)
  return owner and owner ~= invitation_of(job.id) or false
end

-- Return why the verb leaves a job alone whose link is, or is to be, changed, or nil; and whether it is fit for that.
local function change_refusal(verb, job)
  if verb == 'cancel' then
    if job.s == 'failed' and is_deleting(job) and not job.dt then return nil, true end
    return job.op == 'v' and job.dt and 'past_cancelling' or nil
  elseif verb == 'discard' then
    return is_deleting(job) and 'link_stands' or nil
  elseif verb == 'requeue' or verb == 'restore' then
    return nil
  elseif not FIT[verb][job.s] then
    return job.op and OPEN[job.s] and 'change_pending' or 'is_' .. job.s
  elseif verb == 'revoke' and not is_whatsapp(job) then
    return 'facebook_stays'
  elseif verb == 'revoke' and not job.op and call('HEXISTS', K.extra .. job.id, 'link') == 0 then
    return 'no_link'
  end
end

-- Return why the verb leaves the job as it is, or nil. *claim*: that it will stand on; nil where the verb takes none.
local function refusal_of(verb, job, claim)
  if job.op or verb == 'replace' or verb == 'revoke' then
    local refusal, is_fit = change_refusal(verb, job)
    if refusal or is_fit then return refusal end
  end
  if not FIT[verb][job.s] then
    if verb == 'requeue' and OPEN[job.s] then return 'waits_already' end
    return job.s == DONE_BEFORE[verb] and job.s .. '_already' or UNFIT[verb]
  end
  return claim and is_claimed_by_another(job, claim) and 'claimed_by_another' or nil
end

local function take_claim(job, claim)
  if is_claimant(job, claim) then call('SET', K.claim .. claim, invitation_of(job.id)) end
end

-- Who made it a dead letter: that is asked of each of them, long after the history was read.
local function remember_death(job, who, failed_at)
  call('HSET', K.extra .. job.id, 'dead_by', who.by, 'dead_why', who.why, 'dead_act', who.act or '', 'dead_failed',
    failed_at)
end

local function forget_death(job)
  call('HDEL', K.extra .. job.id, 'dead_by', 'dead_why', 'dead_act', 'dead_failed')
end

local function requeue_job(job, claim, who)
  if job.s == 'dead' then forget_death(job) end
  -- Another link is to be made: by look-ups it must not be taken for the one that vanished.
  if job.r == 'link_vanished' and not job.op then
    begin_making(job)
    forget_link(job)
  end
  take_claim(job, claim)
  leave(job)
  if who.lane then job.l = who.lane end
  set(job, 'l', job.l, 'd', now, 'q', (job.q or 0) + 1)
  enter(job, 'available')
  note(job, 'requeued', 'by', who.by, 'why', who.why, 'was', job.r, 'edited', who.is_edited and '1' or '0',
    'act', who.act or '')
  unset(job, 'f', 'n', 'r', 'rc', 'pc', 'x')
  if who.act then set(job, 'z', who.act .. ':' .. who.place) end
end

-- The reason stays: a dead letter may be restored.
local function discard_job(job, who)
  local failed_at = job.c
  finish(job, 'dead')
  remember_death(job, who, failed_at)
  note(job, 'discarded', 'by', who.by, 'why', who.why, 'act', who.act or '')
end

-- It stands there as before, since when it failed: nobody is told of it anew. How long it is kept counts from now.
local function restore_job(job, claim, who)
  take_claim(job, claim)
  leave(job)
  enter(job, 'failed', now, tonumber(call('HGET', K.extra .. job.id, 'dead_failed') or job.c))
  forget_death(job)
  note(job, 'restored', 'by', who.by, 'why', who.why, 'reason', job.r, 'act', who.act or '')
end
