-- flags: allow-oom
-- uses: endings changing settling
-- running -> scheduled, or available at once; uses up no try; -> cancelled if asked for; for the lease holder only.
--
-- ARGV: 2 job, 3 token, 4 reason, 5 delay ms. Returns {1, state, delivery id…}, or {0} when the lease was lost.
local job = held_by(ARGV[2], ARGV[3], false)
if not job then return lost(ARGV[2], ARGV[3]) end
local delay_ms, made = tonumber(ARGV[5]), nil
local began, took = times_of(job)
close(job)
local is_cancelled = job.x and not revokes_instead(job)
if is_cancelled then
  made = finish_cancelled(job)
elseif delay_ms > 0 then
  set(job, 'd', now + delay_ms)
  move(job, 'scheduled', now + delay_ms)
else
  move(job, 'available')
end
note(job, is_cancelled and CANCELLED_AS[job.s] or 'snoozed', 'attempt', job.a, 'reason', ARGV[4], 'began_ms', began, 'call_ms', took,
  'due_ms', job.s == 'scheduled' and job.d or '')
return answer(job, made)
