-- flags: allow-oom
-- uses: guards endings changing settling
-- running | in_doubt (late answer) -> scheduled; -> failed when its tries are used up; -> cancelled if asked for.
--
-- ARGV: 2 job, 3 token, 4 reason, 5 class, 6 code or '', 7 raw, 8 detail, 9 '1' own data, 10 delay ms,
-- 11 most failures, 12 '1' a link may lie unused at the partner, 13 '1' a link may be deleted.
-- Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], true)
if not job then return lost(ARGV[2], ARGV[3]) end
local fail, is_own_data = { unpack(ARGV, 4, 8) }, ARGV[9] == '1'
local began, took = times_of(job)
close(job)
if not is_deleting(job) then count_ending(job) end
local failures = (job.f or 0) + 1
set(job, 'f', failures)
if ARGV[12] == '1' then set(job, 'o', (job.o or 0) + 1) end
if ARGV[13] == '1' then set(job, 'dt', now) end
local made, event
if job.x and not revokes_instead(job) then
  made = finish_cancelled(job)
  event = CANCELLED_AS[job.s]
elseif failures >= tonumber(ARGV[11]) then
  fail[5] = fail[5] == '' and 'tries used up' or 'tries used up; ' .. fail[5]
  made = give_up(job, fail, is_own_data, false)
  event = job.s == 'available' and 'held' or job.s
else
  local due = now + tonumber(ARGV[10])
  blame(job, fail)
  set(job, 'd', due)
  move(job, 'scheduled', due)
  event = 'retry'
end
note(job, event, 'attempt', job.a, 'failures', failures, 'reason', ARGV[4], 'code', ARGV[6], 'raw', ARGV[7],
  'began_ms', began, 'call_ms', took, 'due_ms', event == 'retry' and job.d or '')
return answer(job, made)
