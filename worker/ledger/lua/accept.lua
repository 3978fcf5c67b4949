-- uses: guards endings
-- nothing -> available | scheduled, for each new invitation of a chunk; duplicates and conflicts are told apart.
--
-- The one verb that does not go through `enter`: a backfill's rows share their index writes.
-- ARGV: 2 most jobs that may wait, 3 how many invitations, then 8 for each: id, product codes, lane, batch or '', due ms
-- or '', claim key, event key or '', record (header line and JSON); then, for all of them together, 2 per bucket of the
-- search index: its name and their entries in it (see search.lua).
-- Returns a string per invitation: 'A' (accepted), 'R' (accepted, all its jobs to be rung now), 'F' (full), 'X' (its
-- batch was cancelled), or
-- verdict, owner, product codes, state, contact differs, replaceable, joined by US; verdict A: this very one, seen
-- before; D: a duplicate; C: other data for the same customer; K: other data under the same event key; I: another
-- customer, it seems, under the same external id (or key) of another source.
local WIDTH = 8
local ID_SIGNS = 20
local RUNG_AT_ONCE = 200 -- live bells outstanding: more than that waits for the feeder
local max_waiting, rows = tonumber(ARGV[2]), tonumber(ARGV[3])

local function waiting()
  local live = call('HGET', K.tally .. 'live', 'available') or 0
  local bulk = call('HGET', K.tally .. 'bulk', 'available') or 0
  return live + bulk + call('ZCARD', K.state .. 'scheduled')
end

local function standing(verdict, inv, codes, differs, replaceable)
  local state = call('HGET', K.job .. inv .. string.sub(codes, 1, 1), 's') or 'cancelled'
  return table.concat({ verdict, inv, codes, state, differs and 1 or 0, replaceable and 1 or 0 }, US)
end

-- An id is its source's own: contact 501 of one CRM and record 501 of another are one only if their contacts say so.
-- A number is everybody's, and needs no second witness. `dedupe.is_anothers_id` says the same.
local function is_anothers_id(header, contact_mark, part)
  if string.sub(header.claim, 1, 2) ~= 'b:' or header.contact_mark == contact_mark then return false end
  for _ = 3, 8 do part() end -- products, claim, event, channels, policy, skips
  return header.source ~= part()
end

-- Somebody stands on the event or claim key already: the same customer again, or another with his number?
local function met(inv, owner, record, is_by_event)
  local header = header_of(owner)
  if owner == inv then return standing('A', inv, header.products) end
  local part = string.gmatch(record, '([^' .. US .. ']*)' .. US)
  local fingerprint, contact_mark = part(), part()
  if header.fingerprint == fingerprint then
    if not is_by_event and is_anothers_id(header, contact_mark, part) then
      return standing('I', owner, header.products)
    end
    return standing('D', owner, header.products, header.contact_mark ~= contact_mark)
  end
  if is_by_event then return standing('K', owner, header.products) end
  local claimant = string.sub(header.claim, 1, 2) == 'n:' and 'w' or string.sub(header.products, 1, 1)
  local state = call('HGET', K.job .. owner .. claimant, 's')
  return standing('C', owner, header.products, false, state == 'linked' or state == 'failed')
end

-- Rows of one lane and batch, written together at the end.
local groups, group_list = {}, {}
local function group_of(lane, batch)
  local name = lane .. US .. batch
  if not groups[name] then
    groups[name] = { l = lane, b = text(batch), queued = {}, rung = {}, ids = {}, rows = 0, scheduled = 0 }
    group_list[#group_list + 1] = groups[name]
  end
  return groups[name]
end

local bells_left
local function may_ring(group)
  if group.l ~= 'live' then return false end
  if not bells_left then
    bells_left = RUNG_AT_ONCE - call('ZCARD', K.rung .. 'live')
    if call('HEXISTS', K.guard .. 'live', 'ended') == 1 then bells_left = 0 end
  end
  if group.is_stopped == nil then group.is_stopped = stop_of('live', group.b) ~= nil end
  return bells_left > 0 and not group.is_stopped
end

local function record_jobs(group, inv, codes, due, score)
  local is_rung = not due and may_ring(group)
  for code in string.gmatch(codes, '.') do
    local id = inv .. code
    local fields = { 's', due and 'scheduled' or 'available', 'l', group.l, 't', now }
    if group.b then fields[7], fields[8] = 'b', group.b end
    if due then
      fields[#fields + 1] = 'd'
      fields[#fields + 1] = due
      call('ZADD', K.state .. 'scheduled', due, id)
      group.scheduled = group.scheduled + 1
    else
      local index = is_rung and group.rung or group.queued
      index[#index + 1] = score
      index[#index + 1] = id
    end
    call('HSET', K.job .. id, unpack(fields))
    group.ids[#group.ids + 1] = id
  end
  if is_rung then bells_left = bells_left - #codes end
  return is_rung and 'R' or 'A'
end

local function write_group(group)
  local queue, scope = queue_of(group), K.tally .. group.l
  local queued, rung = #group.queued / 2, #group.rung / 2
  if queued > 0 then
    call('ZADD', queue, unpack(group.queued))
    call('ZADD', K.queues .. group.l, 'NX', call('HGET', K.meta, 'served') or 0, group.b or '-')
  end
  if rung > 0 then call('ZADD', K.rung .. group.l, unpack(group.rung)) end
  if queued + rung > 0 then count(group, 'available', queued + rung) end
  if rung > 0 then count(group, 'rung', rung) end
  if group.scheduled > 0 then count(group, 'scheduled', group.scheduled) end
  if group.b then
    call('RPUSH', K.batch_jobs .. group.b, unpack(group.ids))
    call('HINCRBY', K.batch .. group.b, 'accepted', group.rows)
    call('HSETNX', K.batch .. group.b, 'opened', now)
    call('ZADD', K.batches, 'NX', now, group.b)
    if group.l == 'bulk' then call('HSETNX', K.guard .. 'batch:' .. group.b, 'ended', 0) end
  end
end

local room, jobs, replies = max_waiting - waiting(), 0, {}
local newcomers, news = {}, 0

-- Somebody is there before: told apart in the order event, claim, and this very invitation said again.
local function meet(inv, claim, event, record)
  local first = event ~= '' and call('GET', K.event .. event) or false
  return met(inv, first or call('GET', K.claim .. claim) or inv, record, first)
end

-- All keys that must be new are set at once or not at all: one call for the usual row.
local function is_new(inv, claim, event, record)
  if event == '' then return call('MSETNX', K.invitation .. inv, record, K.claim .. claim, inv) == 1 end
  return call('MSETNX', K.invitation .. inv, record, K.claim .. claim, inv, K.event .. event, inv) == 1
end

local function is_known(inv, claim, event)
  local keys = { K.invitation .. inv, K.claim .. claim, event ~= '' and K.event .. event or nil }
  return call('EXISTS', unpack(keys)) > 0
end

-- What comes after its batch was cancelled would never be stopped again.
local cancelled = {}
local function is_cancelled(batch)
  if batch == '' then return false end
  if cancelled[batch] == nil then cancelled[batch] = call('HEXISTS', K.batch .. batch, 'cancelled') == 1 end
  return cancelled[batch]
end

local function admit(row, inv, codes, lane, batch, due, claim, event, record)
  if is_cancelled(batch) then return 'X' end
  if jobs + #codes > room then
    -- What stands recorded is no newcomer, however full it is.
    return is_known(inv, claim, event) and meet(inv, claim, event, record) or 'F'
  end
  if not is_new(inv, claim, event, record) then return meet(inv, claim, event, record) end
  newcomers[inv], news = true, news + 1
  local group = group_of(lane, batch)
  group.rows = group.rows + 1
  jobs = jobs + #codes
  -- The fraction keeps a chunk's rows in the order of their file.
  return record_jobs(group, inv, codes, text(due), now + row / 1024)
end

local function of_newcomers(entries)
  if news == rows then return entries end
  return (string.gsub(entries, '\n[^\n]*', function(entry)
    return newcomers[string.sub(entry, -ID_SIGNS)] and entry or ''
  end))
end

local function index_newcomers(from)
  if news == 0 then return end
  for at = from, #ARGV, 2 do
    local entries = of_newcomers(ARGV[at + 1])
    if entries ~= '' then call('APPEND', K.search .. ARGV[at], entries) end
  end
end

local behind = 4 + rows * WIDTH
for at = 4, behind - 1, WIDTH do
  replies[#replies + 1] = admit(#replies, unpack(ARGV, at, at + WIDTH - 1))
end
for _, group in ipairs(group_list) do write_group(group) end
index_newcomers(behind)
-- Written even when nothing was new: `WAITAOF` waits for this connection's own last write, and only so does the
-- answer "recorded before" prove that what was recorded before is on disk.
call('HINCRBY', K.meta, 'accepted', jobs)
if jobs > 0 then tick('accepted', jobs) end
return replies
