-- uses: endings search mending trail
-- failed | dead -> available, by an operator, perhaps with an edited request. The number's claim is taken again.
--
-- ARGV: 2 job, 3 by, 4 why, 5 lane or '', 6 new record or '', 7 new claim key or ''; for an operator's edit 8 its
-- changes as JSON, 9 the same masked and in words, 10 the record that was edited, else ''. 11 search terms that the new record takes, 12 gives.
-- Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local inv = invitation_of(job.id)
local header = header_of(inv)
local claim = text(ARGV[7]) or header.claim
local refusal = refusal_of('requeue', job, claim)
local is_sibling = string.sub(job.id, -1) ~= 'w' and string.find(header.products, 'w', 1, true)
if claim ~= header.claim and is_sibling and FIT.requeue[job.s] then refusal = 'number_of_another_job' end
if not refusal and ARGV[10] ~= '' and call('GET', K.invitation .. inv) ~= ARGV[10] then refusal = 'edited_meanwhile' end
if refusal then return { 0, job.s, refusal } end

if claim ~= header.claim and call('GET', K.claim .. header.claim) == inv then
  call('DEL', K.claim .. header.claim)
end
if ARGV[6] ~= '' then
  call('SET', K.invitation .. inv, ARGV[6])
  unindex(inv, ARGV[11])
  index(inv, ARGV[12])
end
local was = job.r
if ARGV[9] ~= '' then note(job, 'edited', 'by', ARGV[3], 'changes', ARGV[9]) end
requeue_job(job, claim, { by = ARGV[3], why = ARGV[4], lane = text(ARGV[5]), is_edited = ARGV[6] ~= '' })
if ARGV[8] == '' then
  account('requeue', ARGV[3], ARGV[4], job.id, 'was', was, 'edited', ARGV[6] ~= '' and '1' or '0')
else
  account('edit', ARGV[3], ARGV[4], job.id, 'was', was, 'changes', ARGV[8])
end
return { 1, job.s }
