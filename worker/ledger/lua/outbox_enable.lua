-- flags: allow-oom
-- Switch sinks on: for these, and no others, events are left from now on. Without any, none are.
--
-- ARGV: 2…: name, source whose requests alone concern it or '', mark of where it leads; for each.
-- A sink that leads elsewhere than before is no longer down, paused or gone.
local sinks = {}
for at = 2, #ARGV, 3 do
  local name, only, mark = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  sinks[#sinks + 1] = name .. '=' .. only
  if call('HGET', K.sinks, name) ~= mark then
    call('HDEL', K.sink .. name, 'streak', 'ds', 'pa', 'u', 'g', 'r', 'hs')
    call('HSET', K.sinks, name, mark)
  end
end
if #sinks == 0 then
  call('HDEL', K.meta, 'sinks')
else
  call('HSET', K.meta, 'sinks', table.concat(sinks, ','))
end
return #sinks
