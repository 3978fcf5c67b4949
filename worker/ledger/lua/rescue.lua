-- flags: allow-oom
-- uses: guards endings changing settling
-- running -> available | in_doubt | scheduled | failed | cancelled, for leases that ran out.
--
-- No call begun: available again, failed when three starts found no end. A WhatsApp call begun: in doubt. A Facebook
-- call begun: retried once and counted as a possible orphan. Each row leaves `running`, so none hides another.
-- ARGV: 2 most rows, 3 ms until the Facebook retry. Returns a flat list: job, the state it went to, …
local CRASHES = 3
local report = {}

local function crashed(job)
  blame(job, { 'crashed_three_times', 'exhausted', '', '', '' })
  unset(job, 'k', 'g', 'n')
  finish(job, 'failed')
end

local function before_call(job)
  if job.x and not revokes_instead(job) then
    unset(job, 'k', 'n')
    finish_cancelled(job)
  elseif tonumber(job.n or 0) >= CRASHES then
    crashed(job)
  else
    unset(job, 'k')
    move(job, 'available')
  end
end

local function in_call(job, lease_end)
  count_ending(job)
  blame(job, { 'lease_expired', 'transient', '', '', '' })
  set(job, 'u', lease_end, 'v', 0)
  move(job, 'in_doubt')
end

-- A delete is done again, whatever came of it. It may still be done late: a new link waits for that.
local function in_delete(job, lease_end)
  set(job, 'dt', lease_end)
  if job.x then revokes_instead(job) end
  if tonumber(job.n or 0) >= CRASHES then return crashed(job) end
  unset(job, 'k', 'g')
  move(job, 'available')
end

local function in_facebook_call(job)
  count_ending(job)
  local orphans, starts = (job.o or 0) + 1, tonumber(job.n or 0)
  unset(job, 'k', 'g')
  set(job, 'o', orphans)
  if job.x then
    finish_cancelled(job)
  elseif starts >= CRASHES then
    crashed(job)
  elseif orphans > 1 then
    unset(job, 'n')
    give_up(job, { 'unknown_outcome', 'doubt', '', '', '' }, false, false)
  else
    blame(job, { 'lease_expired', 'transient', '', '', '' })
    set(job, 'd', now + tonumber(ARGV[3]))
    move(job, 'scheduled', job.d)
  end
end

local rows = call('ZRANGEBYSCORE', K.state .. 'running', '-inf', now, 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]))
for at = 1, #rows, 2 do
  local job, lease_end = load(rows[at]), rows[at + 1]
  local began, is_called = times_of(job), job.g and '1' or ''
  if not job.g then
    before_call(job)
  elseif is_deleting(job) then
    in_delete(job, lease_end)
  elseif string.sub(job.id, -1) == 'w' then
    in_call(job, lease_end)
  else
    in_facebook_call(job)
  end
  note(job, 'rescued', 'state', job.s, 'attempt', job.a, 'reason', 'lease_expired', 'began_ms', began, 'is_called', is_called,
    'due_ms', job.s == 'scheduled' and job.d or '')
  report[#report + 1] = job.id
  report[#report + 1] = job.s
end
return report
