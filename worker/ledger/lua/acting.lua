-- Bulk acts: what they hold, and what they do to one job or message of their frozen set.
--
-- An act's hash: act · state · by · why · filter (JSON, '' for ids) · created · started · ended · seen ids looked at
--   newest change of those that were fit · frozen when the set was whole, or that change where it is later
--   total that were fit · messages of those · at place of the next to take · done · refused:<why> · canary '1'
--   linked, sent, revoked, again, other ends of what it let go · again:<reason> · latest letters of those ends
--   why:<reason>, not:<why> how its set was weighed · lane its jobs are to wait in · released when the last were taken
--   base_done, base_ended where the canary began · turn how often it was let go on · stop why it stopped (JSON)
--   undo_of, undone_by acts
--   undone of those it discarded, by its undos · given_up why its set was never whole, in a word
--   deletes of those that it replaces, how many take a delete first

local LETTERS = {
  gone = 'G', waits_already = 'W', is_running = 'R', is_in_doubt = 'D', is_linked = 'L', is_onboarded = 'O',
  is_revoked = 'V', is_failed = 'F', is_dead = 'X', is_cancelled = 'C', is_available = 'B', is_scheduled = 'U',
  claimed_by_another = 'A', changed_since = 'H', is_message = 'M', is_sent = 'S',
  change_pending = 'P', link_stands = 'K', facebook_stays = 'I', no_link = 'N', past_cancelling = 'E',
  link_replaced = 'T',
}
local TAKES_CLAIM = { requeue = true, restore = true, replace = true }
local MAKES_CALLS = { requeue = true, replace = true, revoke = true } -- a job that it lets go comes to an end of its own

local function load_act(id) return read(K.act .. id, id) end

local function is_message(id) return string.find(id, '.', 1, true) ~= nil end

-- When a job or message that has ended came to stand as it does; 0 for one that has not.
local function changed_at(subject)
  if OPEN[subject.s] then return 0 end
  local index = is_message(subject.id) and K.delivery_state or K.state
  return math.max(tonumber(subject.c or 0), tonumber(call('ZSCORE', index .. subject.s, subject.id) or 0))
end

-- What has failed anew, was given up, restored or linked anew since the set was frozen is not what was decided on.
local function has_changed(act, subject) return act.frozen and changed_at(subject) > tonumber(act.frozen) end

-- In doubt means that the customer may have it: such a message is sent again by its own id only.
local function message_refusal(act, message)
  if act.act ~= 'requeue' then return 'is_message' end
  if message.s == 'pending' then return 'waits_already' end
  if message.s == 'sending' then return 'is_running' end
  if message.s == 'sent' or (message.s == 'in_doubt' and act.filter ~= '') then return 'is_' .. message.s end
  if has_changed(act, message) then return 'changed_since' end
  return links_refusal(message)
end

local function job_refusal(act, job, claim)
  local is_change = act.act == 'replace' or act.act == 'revoke' or (act.act == 'cancel' and job.op and job.s == 'failed')
  if not FIT[act.act][job.s] and not is_change then
    local waits = act.act == 'requeue' and (job.s == 'available' or job.s == 'scheduled')
    return waits and 'waits_already' or 'is_' .. job.s
  end
  if has_changed(act, job) then return 'changed_since' end
  if act.undo_of and call('HGET', K.extra .. job.id, 'dead_act') ~= act.undo_of then return 'changed_since' end
  return refusal_of(act.act, job, claim)
end

-- Return why the act leaves it alone, or nil; then the job or message, and the claim that it would stand on.
local function weigh(act, id)
  if is_message(id) then
    local message = load_delivery(id)
    if not message then return 'gone' end
    return message_refusal(act, message), message
  end
  local job = load(id)
  if not job then return 'gone' end
  local claim = TAKES_CLAIM[act.act] and header_of(invitation_of(id)).claim or nil
  return job_refusal(act, job, claim), job, claim
end

local VERBS = {
  requeue = requeue_job,
  restore = restore_job,
  replace = replace_job,
  revoke = function(job, _, who) revoke_job(job, who) end,
  discard = function(job, _, who) discard_job(job, who) end,
  cancel = function(job, _, who) cancel(job, who.by, who.why, who.act) end,
}

-- Do to one id what the act does. Return why it was left alone, or nil.
local function act_on(act, id, place)
  local refusal, subject, claim = weigh(act, id)
  if refusal then return refusal end
  local who = { by = act.by, why = act.why, act = act.id, place = place, lane = act.lane }
  if is_message(id) then
    resend(subject, who)
    write(subject, 'z', act.id .. ':' .. place)
  else
    VERBS[act.act](subject, claim, who)
  end
end

local function number_of(act, field) return tonumber(act[field] or 0) end

local function ended_of(act)
  local ends = number_of(act, 'linked') + number_of(act, 'sent') + number_of(act, 'revoked')
  return ends + number_of(act, 'again') + number_of(act, 'other')
end

-- Nothing is left to take, and all that was requeued has come to its end.
local function is_over(act)
  if number_of(act, 'at') < number_of(act, 'total') then return false end
  return not MAKES_CALLS[act.act] or ended_of(act) >= number_of(act, 'done')
end

local function change(act, ...)
  call('HSET', K.act .. act.id, ...)
  local pairs_ = { ... }
  for i = 1, #pairs_, 2 do act[pairs_[i]] = tostring(pairs_[i + 1]) end
end

local function account_act(act, event, by, why, ...)
  account('act_' .. event, by, why, act.id, 'act', act.act, 'filter', act.filter, 'total', act.total or '0',
    'done', act.done or '0', ...)
end

-- *because*: what it came to (JSON).
local function stop_act(act, by, why, because)
  change(act, 'state', 'stopped', 'stop', because, 'ended', string.format('%.0f', now))
  call('ZREM', K.acts_running, act.id)
  account_act(act, 'stop', by, why, 'stop', because, 'failed_again', act.again or '0')
end

local function conclude_act(act)
  change(act, 'state', 'done', 'ended', string.format('%.0f', now))
  call('ZREM', K.acts_running, act.id)
  account_act(act, 'end', act.by, act.why, 'linked', act.linked or '0', 'sent', act.sent or '0',
    'revoked', act.revoked or '0', 'failed_again', act.again or '0')
end
