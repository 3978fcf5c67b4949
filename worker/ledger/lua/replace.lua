-- uses: endings search changing rewriting mending replacing trail
-- linked | failed -> available, by an operator: the link is to be deleted and made anew, perhaps with another request.
--
-- ARGV: 2 job, 3 by, 4 why; with another request 5 the record that was edited, 6 the new one, 7 its claim key, 8 search
-- terms that it takes, 9 gives, 10 the changes as JSON, 11 the same masked and in words.
-- Returns {1, state} or {0, state or '', refusal}.
local job = load(ARGV[2])
if not job then return { 0, '', 'gone' } end
local inv = invitation_of(job.id)
local header = header_of(inv)
local edit = ARGV[5] and { base = ARGV[5], record = ARGV[6], claim = ARGV[7], lost = ARGV[8], gained = ARGV[9] }
local claim = edit and edit.claim or header.claim
local refusal = refusal_of('replace', job, claim)
if not refusal and edit then
  if not is_whatsapp(job) and string.find(header.products, 'w', 1, true) and claim ~= header.claim then
    refusal = 'number_of_another_job'
  elseif has_next(inv, header) and not is_deleting(job) then
    refusal = 'change_pending'
  elseif call('GET', K.invitation .. inv) ~= edit.base then
    refusal = 'edited_meanwhile'
  end
end
if refusal then return { 0, job.s, refusal } end
local was = job.s == 'failed' and job.r or job.s
if edit then note(job, 'edited', 'by', ARGV[3], 'changes', ARGV[11]) end
replace_job(job, header.claim, { by = ARGV[3], why = ARGV[4], edit = edit })
if edit then
  account('replace', ARGV[3], ARGV[4], job.id, 'was', was, 'changes', ARGV[10])
else
  account('replace', ARGV[3], ARGV[4], job.id, 'was', was)
end
return { 1, job.s }
