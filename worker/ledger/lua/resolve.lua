-- flags: allow-oom
-- uses: guards endings changing settling search
-- in_doubt -> linked | onboarded | failed | available, by what a look-up at the partner found.
--
-- Absence counts only in lists begun long enough after the call ended; the second such list lets the job try
-- again, unless it killed its process three times (-> failed) or was to be cancelled (-> cancelled).
-- ARGV: 2 job, 3 finding: 'ours', 'finished', 'foreign' or 'absent'; then
--   ours, finished: 4 link, 5 landing page, 6 number, 7 its search term or ''; foreign: 4…8 fail, 9 '1' own data;
--   absent: 4 ms when the list was begun, 5 grace ms, 6 most failures: a create that always ends in doubt ends here.
-- Returns {state, delivery id…}, or {} when the job is not in doubt.
local job, finding = load(ARGV[2]), ARGV[3]
if not job or job.s ~= 'in_doubt' then return {} end
local made

local CRASHES = 3

local function absent(began, grace_ms, most_failures)
  if began < job.u + grace_ms or began <= tonumber(job.vb or 0) then return end
  set(job, 'v', job.v + 1, 'vb', began)
  note(job, 'absent', 'list_began_ms', string.format('%.0f', began))
  if tonumber(job.v) < 2 then return end
  local starts, failures, why = job.n, (job.f or 0) + 1, job.r or ''
  clear(job)
  set(job, 'f', failures)
  if job.x then
    made = finish_cancelled(job)
  elseif tonumber(starts or 0) >= CRASHES then
    blame(job, { 'crashed_three_times', 'exhausted', '', '', '' })
    made = finish(job, 'failed')
  elseif failures >= most_failures then
    made = give_up(job, { 'tries_used_up', 'exhausted', '', '', why }, false, false)
  else
    if starts then set(job, 'n', starts) end
    move(job, 'available')
  end
  note(job, 'resolved', 'state', job.s)
end

if finding == 'absent' then
  absent(tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]))
elseif finding == 'foreign' then
  clear(job)
  made = give_up(job, { unpack(ARGV, 4, 8) }, ARGV[9] == '1', false)
  note(job, 'resolved', 'state', job.s, 'reason', ARGV[4])
else
  clear(job)
  note_healthy(job)
  index(invitation_of(job.id), ARGV[7])
  made = link_up(job, finding == 'finished' and 'onboarded' or 'linked', ARGV[4], ARGV[5], ARGV[6])
  note(job, 'resolved', 'state', job.s)
end
local reply = { job.s }
for _, id in ipairs(made or {}) do reply[#reply + 1] = id end
return reply
