-- uses: endings
-- Choose those of a chunk of jobs that match a filter, by reading only their short fields.
--
-- ARGV: 2 state, 3 reason, 4 class, 5 lane, 6 batch, 7 source, 8 changed before ms, each '' for any; 9… job ids.
-- Returns the ids that match.
local wanted = { s = text(ARGV[2]), r = text(ARGV[3]), rc = text(ARGV[4]), l = text(ARGV[5]), b = text(ARGV[6]) }
local source, before = text(ARGV[7]), tonumber(ARGV[8])

local function matches(job)
  for field, value in pairs(wanted) do
    if job[field] ~= value then return false end
  end
  if before and tonumber(job.c or job.t) >= before then return false end
  if not source then return true end
  local header = header_of(invitation_of(job.id))
  return header ~= nil and header.source == source
end

local found = {}
for at = 9, #ARGV do
  local job = load(ARGV[at])
  if job and matches(job) then found[#found + 1] = job.id end
end
return found
