-- flags: allow-oom
-- uses: guards endings search changing settling
-- running -> available | scheduled (the new link is to be made) | revoked, for the lease holder only: the link is gone.
--
-- It says nothing about creates, so no canary rises by it and no row of FAILs ends. Where an earlier delete's answer was
-- lost, the new link waits until that one can do no harm any more.
-- ARGV: 2 job, 3 token, 4 '1' it was there, 5 ms after which a lost delete is not done any more, 6 search term of the
-- deleted number or ''. Returns {1, state, 'R' (its bell is to be rung) or delivery id…}, or {0} when the lease was lost.
-- The new link's request takes the place of the old one's, whose number is free from now on.
local function take_next(job)
  local inv = invitation_of(job.id)
  local coming = call('HMGET', K.extra .. job.id, 'next', 'next_claim', 'next_lost', 'next_gained')
  if not coming[1] then return end
  local before = header_of(inv).claim
  call('SET', K.invitation .. inv, coming[1])
  unindex(inv, coming[3])
  index(inv, coming[4])
  if coming[2] ~= before then release_claim(inv, before) end
  call('HDEL', K.extra .. job.id, 'next', 'next_claim', 'next_lost', 'next_gained')
end

local job = held_by(ARGV[2], ARGV[3], false)
if not job or not is_deleting(job) then return lost(ARGV[2], ARGV[3]) end
local began, took = times_of(job)
local is_last = job.op == 'v' or job.x
close(job)
note(job, 'deleted', 'attempt', job.a, 'found', ARGV[4], 'began_ms', began, 'call_ms', took)
unindex(invitation_of(job.id), ARGV[6])
if is_last then
  if job.x and job.op ~= 'v' then let_act_go(job) end
  local made = revoke_now(job)
  note(job, 'revoked')
  return answer(job, made)
end
begin_making(job)
forget_link(job)
take_next(job)
local late_until = job.dt and job.dt + ARGV[5] or 0
unset(job, 'dt', 'f', 'r', 'rc', 'pc')
if late_until > now then
  set(job, 'd', late_until)
  move(job, 'scheduled', late_until)
  return answer(job)
end
set(job, 'd', now)
move(job, 'available')
local room = math.min(ramp_room(job.l), job.b and ramp_room('batch:' .. job.b) or 1)
if stop_of(job.l, job.b) or room < 1 then return answer(job) end
ring(job)
return answer(job, { 'R' })
