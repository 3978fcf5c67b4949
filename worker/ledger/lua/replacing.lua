-- What an operator has done to a link, whether by a verb of its own or in a step of a bulk act.

-- What a link's replacement begins with: nil where the job never had a link.
local function first_step(job)
  if job.s == 'linked' then return is_whatsapp(job) and 'rd' or 'rc' end
  if is_deleting(job) or job.r == 'replaced_link_stands' then return 'rd' end
  return (job.op or job.r == 'link_vanished') and 'rc' or nil
end

local function rewrite_at_once(job, edit, header_claim)
  local inv = invitation_of(job.id)
  rewrite(inv, edit.base, edit.record, edit.lost, edit.gained)
  if edit.claim ~= header_claim then release_claim(inv, header_claim) end
end

local function keep_next(job, edit)
  drop_next(job)
  call('HSET', K.extra .. job.id, 'next', edit.record, 'next_claim', edit.claim, 'next_lost', edit.lost, 'next_gained',
    edit.gained)
end

-- Let a job wait again for what is to become of its link.
local function wait_for_change(job, op, who)
  local was = job.s
  leave(job)
  if who.lane then job.l = who.lane end
  if was == 'failed' then set(job, 'q', (job.q or 0) + 1) end
  if op then set(job, 'op', op) end
  set(job, 'l', job.l, 'd', now)
  enter(job, 'available')
end

local function close_failure(job, who)
  unset(job, 'f', 'n', 'r', 'rc', 'pc', 'x')
  if who.act then set(job, 'z', who.act .. ':' .. who.place) end
end

-- *claim*: of the request as it stands. who.edit: the new request; see replace.lua.
local function replace_job(job, claim, who)
  local op, edit, before = first_step(job), who.edit, job.op
  if job.s == 'linked' then call('HSETNX', K.extra .. job.id, 'made', job.c) end
  if edit and op == 'rd' then
    keep_next(job, edit)
  elseif edit then
    rewrite_at_once(job, edit, claim)
  end
  take_claim(job, edit and edit.claim or claim)
  local was = job.s == 'failed' and job.r or job.s
  if op == 'rc' and before ~= 'rc' then
    begin_making(job)
    if is_whatsapp(job) then forget_link(job) end
  end
  wait_for_change(job, op, who)
  note(job, 'replace_asked', 'by', who.by, 'why', who.why, 'was', was, 'op', op or '', 'edited', edit and '1' or '0',
    'act', who.act or '')
  close_failure(job, who)
end

-- Where no link stands any more, it is revoked at once.
local function revoke_job(job, who)
  local is_gone = (job.op == 'rc' and job.r ~= 'replaced_link_stands') or (not job.op and job.r == 'link_vanished')
  local was = job.s == 'failed' and job.r or job.s
  note(job, 'revoke_asked', 'by', who.by, 'why', who.why, 'was', was, 'act', who.act or '')
  drop_next(job)
  if is_gone then
    if who.act then set(job, 'z', who.act .. ':' .. who.place) end
    revoke_now(job)
    note(job, 'revoked')
  else
    wait_for_change(job, 'v', who)
    close_failure(job, who)
  end
end
