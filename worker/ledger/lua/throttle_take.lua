-- flags: allow-oom
-- Take a try from every scope, or from none. ARGV: from 2 on scope, tries at once, ms until one comes back, …
-- Returns 0, or the ms until all of them have one.
--
-- A scope's string is the instant at which all its tries will be back: one number says how many are left.
local wait, after = 0, {}
for i = 2, #ARGV, 3 do
  local most, back_ms = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local whole_at = math.max(now, tonumber(call('GET', K.throttle .. ARGV[i]) or now)) + back_ms
  wait = math.max(wait, whole_at - most * back_ms - now)
  after[#after + 1] = { K.throttle .. ARGV[i], whole_at }
end
if wait > 0 then return math.ceil(wait) end
for _, each in ipairs(after) do
  call('SET', each[1], string.format('%.0f', each[2]), 'PX', math.ceil(each[2] - now))
end
return 0
