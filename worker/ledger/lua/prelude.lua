-- Shared by every verb: the keys' names, the time, and the moves that keep every index right.
--
-- KEYS[1] is the prefix `{namespace}`. All keys begin with it, so that on a cluster they lie in one slot.
-- ARGV[1] is the time in ms, or '' for the server's own clock (tests pass one, production never does).
--
-- A job is a hash with short field names, so that a waiting one stays a listpack:
--   s state · l lane · b batch · t accepted at · c changed at · d due since or at · a attempt · f failures
--   o orphans · q requeues · n starts without an end · x cancel asked · r reason · rc its class · pc the partner's code
--   k lease token · g call begun at · u call ended at · v lists it was absent from · vb when the last of those began
--   w generation of the message that told of its link · p token of the last settle (a repeated settle is recognised)
--   op, rn, dt a change of its link: see changing.lua · e events told of it so far · z bulk act that let it try again, until it ends: <act>:<place>

local call = redis.call
local P = KEYS[1]
local function server_time()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local now = tonumber(ARGV[1]) or server_time()

local US = '\31' -- separates the parts of a composite value

local K = {
  meta = P .. ':m',               -- hash: schema, accepted and pruned jobs, serve counter
  invitation = P .. ':i:',        -- string: header line and the request's JSON
  job = P .. ':j:',               -- hash
  extra = P .. ':x:',             -- hash: long values of a job (link, landing page, raw answer)
  history = P .. ':h:',           -- list
  claim = P .. ':c:',             -- string: the invitation that stands on a number
  event = P .. ':e:',             -- string: the invitation that an event made
  queues = P .. ':qs:',           -- zset per lane: its queues that hold a job, by when each was served
  queue = P .. ':q:',             -- zset per <lane>:<batch or ->: available jobs by due time
  rung = P .. ':rung:',           -- zset per lane or channel: rung and not yet claimed, by when
  state = P .. ':z:',             -- zset per state but available
  failed = P .. ':f:',            -- zset per reason: failed jobs
  requeued_failed = P .. ':fq',   -- zset: failed jobs that an operator had let try again before
  reasons = P .. ':reasons',      -- hash: reasons of failed jobs -> class and code
  unexplained = P .. ':unexplained', -- zset: failed WhatsApp jobs of class unknown, by when last looked at
  absent = P .. ':absent',        -- zset: linked jobs that the partner's last list did not hold, by when it was begun
  partner_view = P .. ':pv',      -- hash: what was last seen of the partner: lists, its webhook, numbers near their end
  batch = P .. ':b:',             -- hash
  batch_jobs = P .. ':bj:',       -- list: job ids in the order of the file
  batches = P .. ':batches',      -- zset by opening time
  batch_spared = P .. ':bs:',     -- set: jobs that ran, or were in doubt, when their batch was cancelled
  tally = P .. ':n:',             -- hash per scope (lane, batch:<id>): jobs per state, rung; a batch's FAILs by reason
  guard = P .. ':g:',             -- hash per scope: endings since the canary began, reason of the row of FAILs
  suspects = P .. ':suspects:',   -- set per scope: jobs that ended in a row with that reason
  pauses = P .. ':pauses',        -- set of scopes (lane, batch:<id>, channel:<name>)
  holds = P .. ':holds',          -- hash: scope -> reason and since
  delivery = P .. ':d:',          -- hash
  deliveries = P .. ':o:',        -- list: an invitation's delivery ids
  outgoing = P .. ':dq:',         -- zset per channel: pending deliveries by due time
  put_off = P .. ':dw:',         -- zset per <channel>:live|others: pending deliveries that wait for the send window
  delivery_state = P .. ':dz:',   -- zset per state but pending
  delivery_failed = P .. ':df:',  -- zset per reason: failed deliveries, by when they failed
  delivery_reasons = P .. ':dreasons', -- hash: reasons of failed deliveries -> class
  late = P .. ':late',            -- zset: invitations that wait with an untold link, by its time
  suppressed = P .. ':suppressed', -- hash: contact that gets no message -> since when, who said so and why
  search = P .. ':se:',           -- string per bucket: invitations by what they are found; see search.lua
  workers = P .. ':workers',      -- zset: worker ids by when they count as gone
  worker_facts = P .. ':facts',   -- hash
  duty = P .. ':duty:',           -- hash: who does it, and until when
  stats = P .. ':stats',          -- hash of counters
  minutes = P .. ':sm:',          -- hash per hour: <minute>:<name> -> how often; expires
  hours = P .. ':sh:',            -- hash per day: <hour>:<name> -> how often; expires
  reason_hours = P .. ':sr:',     -- hash per day: <hour>:<stage>:<reason> -> how many failed by it; expires
  api_keys = P .. ':keys',        -- hash: sha256 of the secret -> name, age and who made it
  api_key_uses = P .. ':keys:used', -- hash: sha256 of the secret -> when it was last used, roughly
  users = P .. ':users',          -- zset: names of the console's users by when they were added
  user = P .. ':u:',              -- hash
  user_sessions = P .. ':us:',    -- zset per user: digests of his sessions' ids by when they end
  session = P .. ':ses:',         -- hash per digest; expires
  throttle = P .. ':thr:',        -- string per scope: when it will be as if nobody had tried; expires
  known = P .. ':kn:',            -- string per name and address that it signed in from lately; expires
  trail = P .. ':trail',          -- zset: entries by time
  trail_entry = P .. ':tr:',      -- hash
  trail_index = P .. ':ti:',      -- zset per `by:<who>`, `act:<act>` and `of:<subject>`: entries by time
  taught = P .. ':taught',        -- hash: reason or <call>:<code> -> what an operator says of it, as JSON
  taught_classes = P .. ':taught:classes', -- hash: reason of a code that was not known when it came -> its class since
  brands = P .. ':brands',        -- hash: name -> profile as JSON, when and by whom it was changed, version
  act = P .. ':ac:',              -- hash: a bulk act; see acting.lua
  act_ids = P .. ':aci:',         -- list: the jobs and messages of its frozen set
  act_marks = P .. ':acm:',       -- string: a letter for each of them, what became of it
  acts = P .. ':acts',            -- zset: acts by when they were started
  acts_running = P .. ':acts:running', -- zset: those of them that run
  act_previews = P .. ':acts:previews', -- zset: those not started yet, by when they were asked for
  intake = P .. ':v:',            -- hash: an event that came in
  intake_body = P .. ':vb:',      -- string: what it said, until it has ended
  intake_mark = P .. ':vk:',      -- string per source and key: the event that stands on it, and its digest; expires
  intake_state = P .. ':vz:',     -- zset per <state>:<source>: events
  intake_sources = P .. ':vs',    -- set
  intake_history = P .. ':vh:',   -- list: what operators did to it
  outbox = P .. ':t:',            -- hash: an event of ours that a sink is to be told of
  outbox_due = P .. ':tq:',       -- zset per sink: events that wait, by due time
  outbox_sending = P .. ':ts:',   -- zset per sink: by lease end
  outbox_failed = P .. ':tf:',    -- zset per sink: by when they failed
  outbox_told = P .. ':tt:',      -- list per sink: the last ones that were told
  sinks = P .. ':sinks',          -- hash: sink -> mark of where it leads; all that ever were switched on
  sink = P .. ':k:',              -- hash per sink: its counters, and why it is down, paused or gone
  incident = P .. ':ic:',         -- hash; see incidents.lua
  incidents = P .. ':incidents',  -- zset by when they were opened
  incidents_open = P .. ':incidents:open', -- hash: '<kind> <scope>' -> the incident that is open
  incident_memory = P .. ':incidents:memory', -- hash: what the last look left to the next
  alert_sinks = P .. ':alert_sinks', -- set: all that ever were to be told
  alerts_due = P .. ':ad:',       -- zset per sink: '<incident>|<phase>' to be told, by due time or lease end
}

local OPEN = { available = true, scheduled = true, running = true, in_doubt = true }
local ENDED = { linked = true, onboarded = true, revoked = true, failed = true, dead = true, cancelled = true }
local CLAIM_FREE = { cancelled = true, dead = true, revoked = true }
local HISTORY_KEPT = 50

-- Return the hash at *key* as a table with its *id*, or nil.
local function read(key, id)
  local flat = call('HGETALL', key)
  if #flat == 0 then return nil end
  local row = { id = id }
  for i = 1, #flat, 2 do row[flat[i]] = flat[i + 1] end
  return row
end

local function load(id) return read(K.job .. id, id) end

local function invitation_of(id) return string.sub(id, 1, -2) end

local function text(value) if value == '' then return nil end return value end

-- Set fields of a job, in the ledger and in *job*: set(job, field, value, …).
local function set(job, ...)
  call('HSET', K.job .. job.id, ...)
  local pairs_ = { ... }
  for i = 1, #pairs_, 2 do job[pairs_[i]] = tostring(pairs_[i + 1]) end
end

local function unset(job, ...)
  call('HDEL', K.job .. job.id, ...)
  for _, field in ipairs({ ... }) do job[field] = nil end
end

-- Add an entry to the job's history: note(job, event, name, value, …).
local function note(job, event, ...)
  local key = K.history .. job.id
  call('RPUSH', key, table.concat({ string.format('%.0f', now), event, ... }, US))
  call('LTRIM', key, -HISTORY_KEPT, -1)
end

-- Count in the tallies of the job's lane and batch.
local function count(job, what, by)
  call('HINCRBY', K.tally .. job.l, what, by)
  if job.b then call('HINCRBY', K.tally .. 'batch:' .. job.b, what, by) end
end

-- Failed jobs of a batch by reason, in its tally: `r:<reason>`.
local function count_failed(job, by)
  if not job.b then return end
  local tally, field = K.tally .. 'batch:' .. job.b, 'r:' .. job.r
  if call('HINCRBY', tally, field, by) <= 0 then call('HDEL', tally, field) end
end

-- What happens over time, for charts: by the minute for a day and by the hour for eight. Nothing is decided by it.
local MINUTES_KEPT_S, HOURS_KEPT_S = 26 * 3600, 9 * 86400
local MOST_REASON_FIELDS = 5000 -- a day: an outsider's codes must not fill the memory

local function tick_in(key, field, by, kept_s)
  if call('HINCRBY', key, field, by) == by then call('EXPIRE', key, kept_s) end
end

local function tick(name, by)
  local hour = math.floor(now / 3600000)
  tick_in(K.minutes .. hour, math.floor(now / 60000) % 60 .. ':' .. name, by, MINUTES_KEPT_S)
  tick_in(K.hours .. math.floor(hour / 24), hour % 24 .. ':' .. name, by, HOURS_KEPT_S)
end

local function tick_reason(stage, reason)
  local hour = math.floor(now / 3600000)
  local key, field = K.reason_hours .. math.floor(hour / 24), hour % 24 .. ':' .. stage .. ':' .. reason
  if call('HLEN', key) < MOST_REASON_FIELDS or call('HEXISTS', key, field) == 1 then
    tick_in(key, field, 1, HOURS_KEPT_S)
  end
end

local TICKED = { linked = true, failed = true, dead = true }

-- A failure that is explained anew is no further failure, but counts for its new reason.
local function tick_entry(job, before)
  if job.s == 'failed' and before == 'dead' then return end -- restored: it failed long ago
  if TICKED[job.s] and job.s ~= before then tick(job.s, 1) end
  if job.s == 'failed' then tick_reason('link', job.r) end
end

local function queue_of(job) return K.queue .. job.l .. ':' .. (job.b or '-') end

local function into_queue(job)
  call('ZADD', queue_of(job), job.d or job.t, job.id)
  local served = call('HGET', K.meta, 'served') or 0
  call('ZADD', K.queues .. job.l, 'NX', served, job.b or '-')
end

local function out_of_queue(job)
  local queue = queue_of(job)
  call('ZREM', queue, job.id)
  if call('EXISTS', queue) == 0 then call('ZREM', K.queues .. job.l, job.b or '-') end
end

-- From its queue among the rung, and back. Both stay `available`.
local function ring(job)
  out_of_queue(job)
  call('ZADD', K.rung .. job.l, now, job.id)
  count(job, 'rung', 1)
end

local function unring(job)
  if call('ZREM', K.rung .. job.l, job.id) == 1 then
    count(job, 'rung', -1)
    into_queue(job)
  end
end

-- Our own events. Each is left, for every sink that is switched on, by the script that makes the change it tells of:
-- an event without its change, or a change without its event, can't be. With no sink it costs one read.
--
-- An event's hash: k sink · y type · j job · t occurred at · v names and values of what was so then · a tries
--   f failures · l lease token · r fault and hs HTTP status of the last try
local MOST_UNTOLD = 200000 -- kept for one sink: a receiver that is dead for weeks must not fill the memory
local ANNOUNCED = { linked = 'link.created', onboarded = 'link.onboarded', failed = 'job.failed', dead = 'job.failed' }

local function source_of(inv)
  local line = string.match(call('GET', K.invitation .. inv) or '', '^[^\n]*')
  local nth = 0
  for part in string.gmatch(line .. US, '([^' .. US .. ']*)' .. US) do
    nth = nth + 1
    if nth == 9 then return part end
  end
end

local function leave_event(sink, job_id, kind, facts)
  if call('ZCARD', K.outbox_due .. sink) + call('ZCARD', K.outbox_failed .. sink) >= MOST_UNTOLD then
    call('HINCRBY', K.sink .. sink, 'dropped', 1)
    return
  end
  -- Counted on the job, whose id is nobody else's: the event's id is its own for ever, even in a restored ledger.
  local id = 'evt_' .. job_id .. '_' .. call('HINCRBY', K.job .. job_id, 'e', 1)
  call('HSET', K.outbox .. id, 'k', sink, 'y', kind, 'j', job_id, 't', now, 'v', table.concat(facts, US))
  call('ZADD', K.outbox_due .. sink, now, id)
end

-- *facts* is called, where somebody wants to know, for a list of names and values.
local function announce(job_id, kind, facts)
  local sinks, source = call('HGET', K.meta, 'sinks'), nil
  for sink, only in string.gmatch(sinks or '', '([^,=]+)=([^,]*)') do
    if only ~= '' and not source then source = source_of(invitation_of(job_id)) end
    if only == '' or only == source then leave_event(sink, job_id, kind, facts()) end
  end
end

-- Tell that the job, in *before* until now, has entered its state, if that is one to tell of. A dead letter was told
-- of when it failed, unless it never stood there, and is not told of when it stands there again; a failure that is
-- explained anew is told anew.
local function announce_entry(job, before)
  local kind = ANNOUNCED[job.s]
  if not kind or (job.s == 'dead' and before == 'failed') or (job.s == 'failed' and before == 'dead') then return end
  announce(job.id, kind, function()
    local facts = { 'state', job.s, 'attempt', job.a or '0' }
    if job.s == 'linked' then
      local link = call('HMGET', K.extra .. job.id, 'link', 'landing')
      for _, part in ipairs({ 'link', link[1] or '', 'landing_page', link[2] or '' }) do facts[#facts + 1] = part end
    elseif kind == 'job.failed' then
      local why = { 'reason', job.r or '', 'reason_class', job.rc or '', 'code', job.pc or '' }
      for _, part in ipairs(why) do facts[#facts + 1] = part end
      if before == 'failed' then
        facts[#facts + 1] = 'is_explained'
        facts[#facts + 1] = '1'
      end
    end
    return facts
  end)
end

-- What a bulk act let try again has come to an end: linked, sent, again (failed again) or other. *key*: its hash.
-- A retry or a snooze is no end.
local ENDS_KEPT = 20 -- of the latest: they decide whether the act goes on
local function end_for_act(key, mark, how, reason)
  call('HDEL', key, 'z')
  local id, place = string.match(mark, '^(.+):(%d+)$')
  local act, letter = K.act .. id, string.sub(how, 1, 1)
  if call('EXISTS', act) == 0 then return end
  call('HINCRBY', act, how, 1)
  if how == 'again' then call('HINCRBY', act, 'again:' .. reason, 1) end
  call('HSET', act, 'latest', string.sub((call('HGET', act, 'latest') or '') .. letter, -ENDS_KEPT))
  call('SETRANGE', K.act_marks .. id, place, letter)
end

local ENDS = { linked = 'linked', onboarded = 'linked', failed = 'again', dead = 'again', revoked = 'revoked' }

-- A link that was to be deleted, and is finished: nothing was changed.
local function end_of(job)
  if job.s == 'onboarded' and job.op then return 'other' end
  return ENDS[job.s] or 'other'
end

local function leave(job)
  if job.s == 'available' then
    if call('ZREM', K.rung .. job.l, job.id) == 1 then
      count(job, 'rung', -1)
    else
      out_of_queue(job)
    end
  else
    call('ZREM', K.state .. job.s, job.id)
  end
  if job.s == 'failed' then
    call('ZREM', K.failed .. job.r, job.id)
    call('ZREM', K.unexplained, job.id)
    if job.q then call('ZREM', K.requeued_failed, job.id) end
    if call('EXISTS', K.failed .. job.r) == 0 then call('HDEL', K.reasons, job.r) end
    count_failed(job, -1)
  end
  count(job, job.s, -1)
end

-- *since*: when it came to stand so, where that is not now.
local function enter(job, state, score, since)
  local before, changed = job.s, since or now
  set(job, 's', state, 'c', changed)
  if state == 'available' then
    into_queue(job)
  else
    call('ZADD', K.state .. state, score or now, job.id)
  end
  if state == 'failed' then
    call('ZADD', K.failed .. job.r, changed, job.id)
    if job.q then call('ZADD', K.requeued_failed, changed, job.id) end
    call('HSET', K.reasons, job.r, (job.rc or '') .. US .. (job.pc or ''))
    count_failed(job, 1)
    -- Only WhatsApp has lists that could explain it. Score 0: never looked at.
    -- One whose delete failed isn't: the lists hold the very link that was to be deleted.
    local is_create = job.op ~= 'rd' and job.op ~= 'v'
    if job.rc == 'unknown' and string.sub(job.id, -1) == 'w' and is_create then call('ZADD', K.unexplained, 0, job.id) end
  end
  count(job, state, 1)
  tick_entry(job, before)
  announce_entry(job, before)
  if job.z and ENDED[state] then
    end_for_act(K.job .. job.id, job.z, end_of(job), job.r)
    job.z = nil
  end
end

-- The one way from state to state. *score*: due time of `scheduled`, lease end of `running`; else now.
-- `failed` needs the job's reason set, which must not change while it stands there.
local function move(job, state, score)
  leave(job)
  enter(job, state, score)
end
