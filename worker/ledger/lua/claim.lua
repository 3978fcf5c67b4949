-- uses: guards
-- available -> running, under a lease; counts an attempt and a start. A paused or held job goes back to its queue.
--
-- ARGV: 2 job, 3 token, 4 lease ms; 5 and 6, where the claim goes along with the asking for a slot: the limit's key and
-- the asker's token. Then it is for whoever was granted the newest slot, if that slot is now.
-- Returns {'claimed', lease end, lane, batch, attempt, failures, orphans, record, op or '', links that were replaced,
-- number of the link that is to be deleted or ''}, or a refusal: {word}.
local id, token, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
if ARGV[5] then
  local newest = call('HMGET', ARGV[5], 'last', 'last_slot')
  if newest[1] ~= ARGV[6] or tonumber(newest[2]) / 1000 > now + 1 then return { 'no_slot' } end
end
local job = load(id)
if not job then return { 'gone' } end
if job.s ~= 'available' then return { 'not_available' } end
local stop = stop_of(job.l, job.b)
if stop then
  unring(job)
  return { stop }
end
local attempt, starts = (job.a or 0) + 1, (job.n or 0) + 1
move(job, 'running', now + lease_ms)
set(job, 'k', token, 'a', attempt, 'n', starts)
return {
  'claimed', string.format('%.0f', now + lease_ms), job.l, job.b or '', attempt, tonumber(job.f or 0),
  tonumber(job.o or 0), call('GET', K.invitation .. invitation_of(id)), job.op or '', tonumber(job.rn or 0),
  job.op and call('HGET', K.extra .. id, 'number') or '',
}
