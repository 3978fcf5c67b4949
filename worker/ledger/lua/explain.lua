-- flags: allow-oom
-- uses: guards endings search
-- failed -> linked | onboarded (the link is ours) | failed with a better reason, by what a look-up found.
--
-- A hold all of whose evidence is explained as the rows' own data is cleared by itself.
-- ARGV: 2 job, 3 finding: 'ours', 'finished' or 'fail'; ours, finished: 4 link, 5 landing page, 6 number, 7 its
--   search term or '';
--   fail: 4…8 reason, class, code, raw, detail, 9 '1' own data.
-- Returns {state, delivery id…}, or {} when the job is not failed.
local job, finding = load(ARGV[2]), ARGV[3]
if not job or job.s ~= 'failed' then return {} end
local made, before = {}, job.r
if finding == 'fail' then
  if ARGV[4] == before then
    -- Looked at without a better answer: to the back of the line.
    call('ZADD', K.unexplained, 'XX', now, job.id)
    return { job.s }
  end
  local failed_at = call('ZSCORE', K.state .. 'failed', job.id)
  leave(job)
  blame(job, { unpack(ARGV, 4, 8) })
  enter(job, 'failed', failed_at)
  if ARGV[9] == '1' then explain_away(job, before, job.r) end
else
  index(invitation_of(job.id), ARGV[7])
  made = link_up(job, finding == 'finished' and 'onboarded' or 'linked', ARGV[4], ARGV[5], ARGV[6])
  explain_away(job, before, job.s)
end
note(job, 'explained', 'state', job.s, 'was', before, 'reason', finding == 'fail' and ARGV[4] or '')
local reply = { job.s }
for _, id in ipairs(made) do reply[#reply + 1] = id end
return reply
