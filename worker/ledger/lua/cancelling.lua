-- Cancelling one job, for an operator, his bulk act or its batch.

-- available | scheduled -> cancelled; running -> running, marked: its next reschedule becomes cancelled.
-- Return the state, or nil when the job is past cancelling.
local function cancel(job, by, why, act)
  if job.s == 'running' then
    if not job.x then note(job, 'cancel_asked', 'by', by, 'why', why, 'act', act or '') end
    set(job, 'x', 1)
  elseif job.s == 'available' or job.s == 'scheduled' then
    finish(job, 'cancelled')
    note(job, 'cancelled', 'by', by, 'why', why, 'act', act or '')
  else
    return nil
  end
  return job.s
end
