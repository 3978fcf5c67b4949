-- flags: no-writes
-- Count what waits in a scope, and how many customers that is, from a sample of it.
--
-- Of scheduled jobs only those count that were tried before: the others wait because somebody asked for a later time.
-- Jobs in doubt wait for a look-up, which only that can stop which stops all calls: of a lane or batch none counts.
-- ARGV: 2 scope ('all', 'live', 'bulk' or 'batch:<id>'), 3 most jobs looked at of each kind. Returns
-- {available jobs, of them looked at, invitations of those, scheduled jobs, of them looked at, tried ones of those in
-- the scope, invitations of those, jobs in doubt, of them looked at, invitations of those}.
local QUEUES_SEEN = 500
local scope, most = ARGV[2], tonumber(ARGV[3])
local batch = string.match(scope, '^batch:(.*)$')
local lanes = { 'live', 'bulk' }
if scope == 'live' or scope == 'bulk' then lanes = { scope } end

local function note_invitation(seen, id)
  local inv = invitation_of(id)
  if seen[inv] then return 0 end
  seen[inv] = true
  return 1
end

local available = 0
for _, tally in ipairs(batch and { scope } or lanes) do
  available = available + (call('HGET', K.tally .. tally, 'available') or 0)
end

local looked, invitations, seen = 0, 0, {}
local function look(key)
  if looked >= most then return end
  for _, id in ipairs(call('ZRANGE', key, 0, most - looked - 1)) do
    looked = looked + 1
    invitations = invitations + note_invitation(seen, id)
  end
end
for _, lane in ipairs(lanes) do
  if not batch then look(K.rung .. lane) end
  for _, name in ipairs(batch and { batch } or call('ZRANGE', K.queues .. lane, 0, QUEUES_SEEN - 1)) do
    look(K.queue .. lane .. ':' .. name)
  end
end

local is_lane = {}
for _, lane in ipairs(lanes) do is_lane[lane] = true end
local later = call('ZRANGE', K.state .. 'scheduled', 0, most - 1)
local tried, tried_invitations = 0, 0
for _, id in ipairs(later) do
  local row = call('HMGET', K.job .. id, 'a', 'l', 'b')
  if row[1] and is_lane[row[2]] and (not batch or row[3] == batch) then
    tried = tried + 1
    tried_invitations = tried_invitations + note_invitation(seen, id)
  end
end
local doubts, doubts_looked, doubt_invitations = 0, 0, 0
if scope == 'all' then
  doubts = call('ZCARD', K.state .. 'in_doubt')
  for _, id in ipairs(call('ZRANGE', K.state .. 'in_doubt', 0, most - 1)) do
    doubts_looked = doubts_looked + 1
    doubt_invitations = doubt_invitations + note_invitation(seen, id)
  end
end
return { available, looked, invitations, call('ZCARD', K.state .. 'scheduled'), #later, tried, tried_invitations,
  doubts, doubts_looked, doubt_invitations }
