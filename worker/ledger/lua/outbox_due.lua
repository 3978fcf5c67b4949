-- flags: allow-oom
-- uses: outbox
-- Choose the sinks that are to be rung for now: switched on, fit to be told, and with an event that is due.
-- ARGV: 2 ms after which one is rung for again. Returns their names.
local due = {}
for name in string.gmatch(call('HGET', K.meta, 'sinks') or '', '([^,=]+)=') do
  local sink = load_sink(name)
  local is_quiet = not sink.ra or sink.ra + tonumber(ARGV[2]) <= now
  if is_quiet and room_of(sink) ~= 0 and call('ZCOUNT', K.outbox_due .. name, '-inf', now) > 0 then
    call('HSET', K.sink .. name, 'ra', now)
    due[#due + 1] = name
  end
end
return due
