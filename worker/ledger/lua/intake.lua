-- Events that came in from a CRM: their hash, and the moves that keep their indexes right.
--
-- A hash with short field names and values, so that it stays a listpack; the body is a string of its own:
--   s state · o source · k the sender's key · t received at · c changed at · d due at (none: as received) · a attempts
--   f failures · n starts without an end · r reason · j jobs · w they stood already · x with another contact
--   v problems
--   l lease token; its chance alone after a settle, so that a repeated settle is recognised and a lost lease is not

local function index_of(state, source) return K.intake_state .. state .. ':' .. source end

-- Return what *command* returns, or nil where the key holds something else than ours: one such row must not stop a
-- verb that has others to see to.
local function try(...)
  local is_done, value = pcall(call, ...)
  return is_done and value or nil
end

local function load_event(id)
  local flat = try('HGETALL', K.intake .. id) or {}
  local event = { id = id, changed = {} }
  for i = 1, #flat, 2 do event[flat[i]] = flat[i + 1] end
  return event.s and event.o and event or nil
end

local function number_in(event, field) return tonumber(event[field]) or 0 end

-- Both are written by the event's next move.
local function put(event, ...)
  local pairs_ = { ... }
  for i = 1, #pairs_, 2 do
    event[pairs_[i]] = pairs_[i + 1]
    event.changed[pairs_[i]] = true
  end
end

local function drop(event, ...)
  for _, field in ipairs({ ... }) do
    if event[field] then event.changed[field] = true end
    event[field] = nil
  end
end

local function save(event)
  local values, gone = {}, {}
  for field in pairs(event.changed) do
    if event[field] then
      values[#values + 1] = field
      values[#values + 1] = event[field]
    else
      gone[#gone + 1] = field
    end
  end
  call('HSET', K.intake .. event.id, unpack(values))
  if #gone > 0 then call('HDEL', K.intake .. event.id, unpack(gone)) end
  event.changed = {}
end

-- What a hundred events have in common is written together, by `write_moves`.
local leaving, entering, bodies_gone = {}, {}, {}

local function add(lists, name, ...)
  local list = lists[name] or {}
  for _, value in ipairs({ ... }) do list[#list + 1] = value end
  lists[name] = list
end

-- The one way from state to state. *score*: due time of `waiting`, lease end of `working`; else now.
local function move_event(event, state, score)
  add(leaving, index_of(event.s, event.o), event.id)
  put(event, 's', state, 'c', now)
  save(event)
  add(entering, index_of(state, event.o), score or now, event.id)
end

-- What the partner's webhook says is documented nowhere: it is kept for people to look at, until the event is pruned.
local KEEPS_BODY = { ['provider:webhook'] = true }

-- To a state that nobody leaves: what is personal goes, and what only mattered on the way.
local function close_event(event, state)
  drop(event, 'd', 'n', 'v')
  if not KEEPS_BODY[event.o] then bodies_gone[#bodies_gone + 1] = K.intake_body .. event.id end
  move_event(event, state)
end

-- Every verb that moves events ends with this.
local function write_moves()
  for index, ids in pairs(leaving) do call('ZREM', index, unpack(ids)) end
  for index, rows in pairs(entering) do call('ZADD', index, unpack(rows)) end
  if #bodies_gone > 0 then call('DEL', unpack(bodies_gone)) end
end

-- Nothing stands behind a row of this index.
local function forget_row(index, id) add(leaving, index, id) end

local function note_event(event, what, by, why)
  local key = K.intake_history .. event.id
  local entry = { string.format('%.0f', now), what, 'by', by, 'why', why, 'was', event.r or '' }
  call('RPUSH', key, table.concat(entry, US))
  call('LTRIM', key, -HISTORY_KEPT, -1)
end

local function sources_of_events() return call('SMEMBERS', K.intake_sources) end
