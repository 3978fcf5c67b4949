-- flags: allow-oom
-- uses: endings search changing
-- linked -> onboarded: the customer has finished. So it is for one whose link only seemed to have vanished, and for one
-- whose link was to be changed and stands as it did: nothing is changed any more.
--
-- ARGV: 2 job, 3 how that is known: 'list' or 'webhook', 4 the final number or '', 5 link or '', 6 the number's search
-- term or '', 7 that of the number before it or ''.
-- Returns {1, delivery id…}, or {0} when there was nothing to complete.
local WAITS = { available = true, scheduled = true, failed = true }

local job = load(ARGV[2])
if not job then return { 0 } end
local has_vanished = job.s == 'failed' and job.r == 'link_vanished' and not job.op
local is_kept = WAITS[job.s] and (is_deleting(job) or (job.op == 'rc' and not is_whatsapp(job)))
if job.s ~= 'linked' and not has_vanished and not is_kept then return { 0 } end
local was = call('HMGET', K.extra .. job.id, 'number', 'link')
if ARGV[4] ~= '' and was[1] ~= ARGV[4] then
  call('HSET', K.extra .. job.id, 'number', ARGV[4])
  unindex(invitation_of(job.id), ARGV[7])
  index(invitation_of(job.id), ARGV[6])
end
if ARGV[5] ~= '' and (not was[2] or was[2] == '') then call('HSET', K.extra .. job.id, 'link', ARGV[5]) end
call('ZREM', K.absent, job.id)
note(job, 'completed', 'how', ARGV[3])
if is_kept then drop_next(job) end
local made = finish(job, 'onboarded')
-- The reason's index is left first: `leave` reads it from the job.
if has_vanished then unset(job, 'r', 'rc', 'pc') end
if is_kept then end_change(job) end
local reply = { 1 }
for _, id in ipairs(made) do reply[#reply + 1] = id end
return reply
