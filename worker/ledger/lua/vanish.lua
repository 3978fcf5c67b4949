-- flags: allow-oom
-- uses: endings
-- linked -> failed: two complete lists, one begun well after the other, do not hold the job's link any more. The first of
-- them leaves a mark; one from before the link was made says nothing.
--
-- ARGV: 2 job, 3 ms when the list was begun, 4 ms after which a link has to be in a list, 5 ms between two lists.
-- Returns {state, delivery id…}, or {} when the job is not linked.
local job, began = load(ARGV[2]), tonumber(ARGV[3])
if not job or job.s ~= 'linked' then
  call('ZREM', K.absent, ARGV[2])
  return {}
end
local listed_from = job.c + ARGV[4]
if began < listed_from then return { job.s } end
local first = tonumber(call('ZSCORE', K.absent, job.id))
if not first or first < listed_from then
  call('ZADD', K.absent, began, job.id)
  return { job.s }
end
if began < first + ARGV[5] then return { job.s } end
call('ZREM', K.absent, job.id)
blame(job, { 'link_vanished', 'link_gone', '', '', '' })
note(job, 'vanished', 'list_began_ms', string.format('%.0f', began))
local made = finish(job, 'failed')
local reply = { job.s }
for _, id in ipairs(made) do reply[#reply + 1] = id end
return reply
