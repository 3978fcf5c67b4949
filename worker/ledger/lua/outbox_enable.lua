-- flags: allow-oom
-- uses: outbox
-- Switch sinks on: for these, and no others, events are left from now on. Without any, none are.
--
-- ARGV: 2 names of the sinks that the caller decides about ('a,b'), '*' for all: others stay as they are;
--   3…: name, source whose requests alone concern it or '', mark of where it leads; for each that is to be on.
-- A sink that leads elsewhere than before is no longer down, paused or gone.
local sinks, given = {}, {}
for at = 3, #ARGV, 3 do
  local name, only, mark = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  sinks[#sinks + 1] = name .. '=' .. only
  given[name] = true
  if call('HGET', K.sinks, name) ~= mark then
    lift(name)
    call('HSET', K.sinks, name, mark)
  end
end
if ARGV[2] ~= '*' then
  for name in string.gmatch(ARGV[2], '[^,]+') do given[name] = true end
  for name, only in string.gmatch(call('HGET', K.meta, 'sinks') or '', '([^,=]+)=([^,]*)') do
    if not given[name] then sinks[#sinks + 1] = name .. '=' .. only end
  end
end
if #sinks == 0 then
  call('HDEL', K.meta, 'sinks')
else
  call('HSET', K.meta, 'sinks', table.concat(sinks, ','))
end
return #sinks
