-- Incidents: what an operator is told of, once when it begins and once when it ends, by each sink.
--
-- An incident's hash: k kind · sc scope · b began at · o opened at · ls last seen · e ended at · n count · p peak
--   ph params as JSON · t:<phase>:<sink> a telling: state, tries, failures, at, fault, HTTP status, lease token

local TELLING = { 'state', 'tries', 'failures', 'at', 'fault', 'status', 'token' }

local function load_incident(id) return read(K.incident .. id, id) end

local function key_of(incident) return incident.k .. ' ' .. incident.sc end

local function load_telling(incident, phase, sink)
  local value, telling = incident['t:' .. phase .. ':' .. sink], {}
  if not value then return nil end
  local at = 0
  for part in string.gmatch(value .. US, '([^' .. US .. ']*)' .. US) do
    at = at + 1
    telling[TELLING[at]] = part
  end
  return telling
end

local function write_telling(incident, phase, sink, telling)
  local parts, field = {}, 't:' .. phase .. ':' .. sink
  for at, name in ipairs(TELLING) do parts[at] = tostring(telling[name] or '') end
  incident[field] = table.concat(parts, US)
  call('HSET', K.incident .. incident.id, field, incident[field])
end

-- To be told from now on; what is told already, or waits, stays as it is.
local function tell(incident, phase, sink)
  if incident['t:' .. phase .. ':' .. sink] then return end
  write_telling(incident, phase, sink, { state = 'waiting', tries = 0, failures = 0 })
  call('ZADD', K.alerts_due .. sink, now, incident.id .. '|' .. phase)
  call('SADD', K.alert_sinks, sink)
end

-- The end is told to whoever was told of the beginning, after that.
local function tell_end(incident, sink)
  local opened = load_telling(incident, 'opened', sink)
  if opened and opened.state == 'told' then tell(incident, 'ended', sink) end
end

local function sinks_of(incident)
  local sinks = {}
  for field in pairs(incident) do
    local sink = string.match(field, '^t:opened:(.+)$')
    if sink then sinks[#sinks + 1] = sink end
  end
  return sinks
end
