-- Cancelling one job, for an operator, his bulk act or its batch.

-- available | scheduled -> cancelled; running -> running, marked: its next reschedule becomes cancelled. Where its link
-- is being changed -> linked (not touched yet), or revoked (deleted already, or perhaps). Return the state, or nil when the job is past cancelling.
local function cancel(job, by, why, act)
  if job.s == 'running' then
    if not job.x then note(job, 'cancel_asked', 'by', by, 'why', why, 'act', act or '') end
    set(job, 'x', 1)
  elseif job.s == 'available' or job.s == 'scheduled' or (job.s == 'failed' and is_deleting(job) and not job.dt) then
    if revokes_instead(job) then
      note(job, 'revoke_asked', 'by', by, 'why', why, 'act', act or '')
    else
      finish_cancelled(job)
      note(job, CANCELLED_AS[job.s], 'by', by, 'why', why, 'act', act or '')
    end
  else
    return nil
  end
  return job.s
end
