-- What the verbs of our own events share: the sink's record, and an event of it.

local DOWN_AFTER = 5          -- tries in a row that failed: the sink is down, not one event at fault
local PROBE_MS, LONGEST_PROBE_MS = 5000, 300000 -- between two probes of a sink that is down; doubles each time
local LAST_TOLD = 1000        -- kept for looking at, for each sink

-- A sink's hash: told, dropped · streak of failed tries · ds down since · pa next probe at · u paused until ·
--   g gone since · r fault and hs HTTP status of what it stands still for · ra rung at
local function load_sink(name)
  local sink = read(K.sink .. name, name) or { id = name }
  for _, field in ipairs({ 'streak', 'ds', 'pa', 'u', 'g', 'ra' }) do sink[field] = tonumber(sink[field] or nil) end
  return sink
end

local function load_outgoing(id) return read(K.outbox .. id, id) end

-- Return the event while *token* is the right to settle it.
local function told_by(id, token)
  local event = load_outgoing(id)
  return event and event.l == token and event or nil
end

-- Return how many events may be claimed from the sink now; nil: as many as are due.
local function room_of(sink)
  if sink.g or (sink.u and sink.u > now) then return 0 end
  if not sink.ds then return nil end
  -- One probe at a time: a receiver that comes back is not met by all that has waited.
  if sink.pa > now or call('ZCARD', K.outbox_sending .. sink.id) > 0 then return 0 end
  return 1
end

-- A person mended the sink: whatever it stood still for is over.
local function lift(name) call('HDEL', K.sink .. name, 'streak', 'ds', 'pa', 'u', 'g', 'r', 'hs') end

-- The sink took something: it is not down. That may have been on its way when it asked for time or for no more events:
-- a pause ends by its time, and being gone by a person.
local function lift_down(sink)
  local is_paused = sink.u and sink.u > now
  call('HDEL', K.sink .. sink.id, 'streak', 'ds', 'pa')
  if not is_paused then call('HDEL', K.sink .. sink.id, 'u') end
  if not is_paused and not sink.g then call('HDEL', K.sink .. sink.id, 'r', 'hs') end
end

local function forget(event)
  call('DEL', K.outbox .. event.id)
  call('ZREM', K.outbox_due .. event.k, event.id)
  call('ZREM', K.outbox_sending .. event.k, event.id)
  call('ZREM', K.outbox_failed .. event.k, event.id)
end

-- sending | failed | waiting -> waiting.
local function put_back(event, due)
  call('HDEL', K.outbox .. event.id, 'l')
  call('ZREM', K.outbox_sending .. event.k, event.id)
  call('ZREM', K.outbox_failed .. event.k, event.id)
  call('ZADD', K.outbox_due .. event.k, due, event.id)
end
