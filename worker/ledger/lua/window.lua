-- The send window: what may not go out now is put off until it may.
--
-- *times*: '' for always open, else `<live is exempt>;<known from>;<known until>;<from>-<until>,…`: closed times in ms,
-- in order. They are worked out by the caller, and gone by with the server's clock.
local UNKNOWN_MS = 60000 -- beyond the times that are known, nothing goes out: asked again so much later

local function read_times(times)
  local exempt, from, until_, spans = string.match(times or '', '^(%d);(%d+);(%d+);(.*)$')
  if not exempt then return nil end
  return { is_live_exempt = exempt == '1', from = tonumber(from), until_ = tonumber(until_), spans = spans }
end

-- Return when the closed time ends that is now, or nil while the window is open.
local function opens_at(times)
  if not times then return nil end
  if now < times.from or now >= times.until_ then return now + UNKNOWN_MS end
  for from, until_ in string.gmatch(times.spans, '(%d+)-(%d+)') do
    if tonumber(from) <= now and now < tonumber(until_) then return tonumber(until_) end
  end
  return nil
end

-- Among which a message waits: `live` may be exempt. A reminder never is: nobody sits and waits for it.
local function waiting_kind(delivery)
  local job = delivery.inv .. string.sub(delivery.j, 1, 1)
  return delivery.template == TEMPLATE and call('HGET', K.job .. job, 'l') == 'live' and 'live' or 'others'
end

-- Return until when the message has to wait, or nil when it may go out.
local function closed_for(delivery, times)
  local at = opens_at(times)
  if at and times.is_live_exempt and waiting_kind(delivery) == 'live' then return nil end
  return at
end

local function put_off(delivery, until_)
  move_delivery(delivery, 'pending', until_)
  write(delivery, 'h', 'window')
  call('ZADD', K.put_off .. delivery.channel .. ':' .. waiting_kind(delivery), until_, delivery.id)
end
