-- flags: allow-oom
-- Give a try back to every scope: it was none of those that are counted. ARGV: from 2 on scope, ms of a try, …
for i = 2, #ARGV, 2 do
  local key = K.throttle .. ARGV[i]
  local whole_at = tonumber(call('GET', key) or now) - tonumber(ARGV[i + 1])
  if whole_at > now then
    call('SET', key, string.format('%.0f', whole_at), 'PX', math.ceil(whole_at - now))
  else
    call('DEL', key)
  end
end
return 1
