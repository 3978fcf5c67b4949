-- uses: endings search changing rewriting mending trail
-- failed | dead -> available, by an operator, with an edited request. The claim of its number is taken again.
--
-- ARGV: 2 job, 3 by, 4 why, 5 the record that was edited, 6 the new one, 7 its claim key, 8 search terms that it takes,
-- 9 gives, 10 the changes as JSON, 11 the same masked and in words. Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local inv, claim = invitation_of(job.id), ARGV[7]
local header = header_of(inv)
local refusal = refusal_of('requeue', job, claim)
local is_sibling = string.sub(job.id, -1) ~= 'w' and string.find(header.products, 'w', 1, true)
if claim ~= header.claim and is_sibling and FIT.requeue[job.s] then refusal = 'number_of_another_job' end
if not refusal and is_deleting(job) then refusal = 'link_stands' end
if not refusal and has_next(inv, header) then refusal = 'change_pending' end
if not refusal and not rewrite(inv, ARGV[5], ARGV[6], ARGV[8], ARGV[9]) then refusal = 'edited_meanwhile' end
if refusal then return { 0, job.s, refusal } end

if claim ~= header.claim and call('GET', K.claim .. header.claim) == inv then
  call('DEL', K.claim .. header.claim)
end
local was = job.r
note(job, 'edited', 'by', ARGV[3], 'changes', ARGV[11])
requeue_job(job, claim, { by = ARGV[3], why = ARGV[4], is_edited = true })
account('edit', ARGV[3], ARGV[4], job.id, 'was', was, 'changes', ARGV[10])
return { 1, job.s }
