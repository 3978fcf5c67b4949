-- uses: intake
-- nothing -> waiting, for each new event of a chunk, and where its key came before and was only skipped; -> failed
-- where its key came with another body before.
--
-- ARGV: 2 most events that may wait, 3 ms for which a key is remembered, then 6 per event: id, source, the sender's key,
-- mark of source and key, digest, body.
-- Returns for each a letter and the id that stands: 'R' recorded (by this very call said before, too), 'D' a duplicate,
-- 'A' altered, 'F' full.
local WIDTH = 6
local memory_ms = ARGV[3]
local bodies, sources, recorded = {}, {}, 0

local function room_left()
  local waiting = 0
  for _, source in ipairs(sources_of_events()) do waiting = waiting + call('ZCARD', index_of('waiting', source)) end
  return tonumber(ARGV[2]) - waiting
end
local room = room_left()

local function write(row, state, id, source, key, body, ...)
  call('HSET', K.intake .. id, 's', state, 'o', source, 'k', key, 't', now, ...)
  bodies[#bodies + 1] = K.intake_body .. id
  bodies[#bodies + 1] = body
  -- The fraction keeps a chunk's rows in the order in which they came.
  add(entering, index_of(state, source), now + row / 1024, id)
  sources[source] = true
  recorded = recorded + 1
end

-- Another body under a key that stands: kept for a person to look at, and known again when it is redelivered.
-- US before the id: an event that was recorded under this body, and gave its key to a later one.
local function alter(row, id, source, key, slot, digest, body)
  slot = slot .. ':' .. digest
  if call('SET', slot, id, 'NX', 'PX', memory_ms) then
    write(row, 'failed', id, source, key, body, 'r', 'altered')
    return 'A' .. id
  end
  local mark, first = string.match(call('GET', slot), '^(' .. US .. '?)(.*)$')
  return (first ~= id and 'D' or mark == '' and 'A' or 'R') .. first
end

-- A record that was skipped (incomplete, mostly) stands for nothing: a body that never came before takes its key. The
-- earlier body stays known, for its redeliveries.
local function may_succeed(first, slot, digest)
  return try('HGET', K.intake .. first, 's') == 'skipped' and call('EXISTS', slot .. ':' .. digest) == 0
end

local function admit(row, id, source, key, mark, digest, body)
  local slot = K.intake_mark .. mark
  if room > 0 and call('SET', slot, id .. US .. digest, 'NX', 'PX', memory_ms) then
    room = room - 1
    write(row, 'waiting', id, source, key, body)
    return 'R' .. id
  end
  -- What stands recorded is no newcomer, however full it is.
  local standing = call('GET', slot)
  if not standing then return 'F' .. id end
  local first, its_digest = string.match(standing, '^([^' .. US .. ']*)' .. US .. '(.*)$')
  if its_digest == digest then return (first == id and 'R' or 'D') .. first end
  if not may_succeed(first, slot, digest) then return alter(row, id, source, key, slot, digest, body) end
  if room <= 0 then return 'F' .. id end
  room = room - 1
  call('SET', slot .. ':' .. its_digest, US .. first, 'PX', memory_ms)
  call('SET', slot, id .. US .. digest, 'PX', memory_ms)
  write(row, 'waiting', id, source, key, body)
  return 'R' .. id
end

local replies = {}
for at = 4, #ARGV, WIDTH do
  replies[#replies + 1] = admit(#replies, unpack(ARGV, at, at + WIDTH - 1))
end
for source in pairs(sources) do call('SADD', K.intake_sources, source) end
if recorded > 0 then call('MSET', unpack(bodies)) end
write_moves()
-- Written even when nothing was new: `WAITAOF` waits for this connection's own last write, and only so does the
-- answer "recorded before" prove that what was recorded before is on disk.
call('HINCRBY', K.meta, 'events', recorded)
return replies
