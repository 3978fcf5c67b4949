-- uses: endings
-- failed | dead -> available, by an operator, perhaps with an edited request. The number's claim is taken again.
--
-- ARGV: 2 job, 3 by, 4 why, 5 lane or '', 6 new record or '', 7 new claim key or ''.
-- Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
if job.s ~= 'failed' and job.s ~= 'dead' then
  return { 0, job.s, OPEN[job.s] and 'waits_already' or 'not_failed' }
end
local inv = invitation_of(job.id)
local header = header_of(inv)
local claim = text(ARGV[7]) or header.claim
if claim ~= header.claim and string.sub(job.id, -1) ~= 'w' and string.find(header.products, 'w', 1, true) then
  return { 0, job.s, 'number_of_another_job' }
end
local owner = call('GET', K.claim .. claim)
local is_claimant = string.sub(claim, 1, 2) ~= 'n:' or string.sub(job.id, -1) == 'w'
if is_claimant and owner and owner ~= inv then return { 0, job.s, 'claimed_by_another' } end

if claim ~= header.claim and call('GET', K.claim .. header.claim) == inv then
  call('DEL', K.claim .. header.claim)
end
if is_claimant then call('SET', K.claim .. claim, inv) end
if ARGV[6] ~= '' then call('SET', K.invitation .. inv, ARGV[6]) end
leave(job)
if ARGV[5] ~= '' then job.l = ARGV[5] end
set(job, 'l', job.l, 'd', now, 'q', (job.q or 0) + 1)
enter(job, 'available')
note(job, 'requeued', 'by', ARGV[3], 'why', ARGV[4], 'was', job.r, 'edited', ARGV[6] ~= '' and '1' or '0')
unset(job, 'f', 'n', 'r', 'rc', 'pc', 'x')
return { 1, job.s }
